"""The open connections of the public port, by what they wait for."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingress.http.connection import Connection


@dataclass(slots=True, eq=False)
class OpenConnections:
    """The open connections of the public port; each of them has this object."""

    # If one more opens, the one that has been longest in `discarding` is closed, else in `idle`.
    connections_max: int
    all: set["Connection"] = field(default_factory=set)
    # Connections that wait for the head of a request: since when (time of the event loop, in
    # seconds), the one that has waited longest first.
    idle: dict["Connection", float] = field(default_factory=dict)
    # Connections that wait for the rest of a body that will be stored; ordered in the same way.
    receiving_body: dict["Connection", float] = field(default_factory=dict)
    # Connections whose further bytes are discarded: the body of a refused request, or all that
    # comes after the last answer; ordered in the same way.
    discarding: dict["Connection", float] = field(default_factory=dict)
    # Each connection is closed after its next answer.
    is_draining: bool = False

    @property
    def is_quiet(self) -> bool:
        """True if every connection waits for the head of a request."""
        return len(self.idle) == len(self.all)

    def add(self, connection: "Connection", now_s: float) -> None:
        """Note a connection that waits for its first request; keep within the bound."""
        self.all.add(connection)
        self.idle[connection] = now_s
        if len(self.all) > self.connections_max:
            # Discarding connections store nothing more, so they must not keep other peers out.
            next(iter(self.discarding or self.idle)).abort()

    def remove(self, connection: "Connection") -> None:
        """Forget a connection that is lost."""
        self.all.discard(connection)
        self.end_wait(connection)

    def start_waiting_for_request(self, connection: "Connection", now_s: float) -> None:
        """Note that a connection waits, from now on, for the head of its next request."""
        self.idle[connection] = now_s

    def start_waiting_for_body(self, connection: "Connection", now_s: float) -> None:
        """Note that a connection waits, from now on, for the rest of a body."""
        self.end_wait(connection)
        self.receiving_body[connection] = now_s

    def start_discarding(self, connection: "Connection", now_s: float) -> None:
        """Note that what comes on a connection is dropped from now on."""
        self.end_wait(connection)
        self.discarding[connection] = now_s

    def end_wait(self, connection: "Connection") -> None:
        """Note that a request of a connection is under way, or that the connection has ended."""
        self.idle.pop(connection, None)
        self.receiving_body.pop(connection, None)
        self.discarding.pop(connection, None)
