"""An event loop whose clock jumps: time passes only when nothing else can happen."""

import asyncio
import selectors
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class _Jumping(selectors.SelectSelector):
    """A selector that does not wait, but moves the clock."""

    def __init__(self, loop: "JumpingLoop") -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("all wait for each other")
        if timeout > 0:
            self._loop.jump(timeout)
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """
    asyncio's own loop, which runs what is due in its order, without sockets.

    `on_idle` is called before time passes. `accept` makes the protocol of a new connection, while a
    server listens.
    """

    def __init__(self) -> None:
        self._now_s = 1000.0
        self.on_idle: Callable[[], None] = lambda: None
        self.accept: Callable[[], Any] | None = None
        # Exceptions that were not caught.
        self.complaints: list[dict[str, Any]] = []
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the time in seconds."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self.on_idle()
        self._now_s += seconds

    async def create_server(
        self, protocol_factory: Callable[[], Any], *_: object, **__: object
    ) -> Any:
        """Let the test connect by `accept`."""
        self.accept = protocol_factory
        socket = SimpleNamespace(getsockname=lambda: ("memory", 0))

        def close() -> None:
            self.accept = None

        return SimpleNamespace(sockets=[socket], close=close)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note an exception that was not caught."""
        self.complaints.append(context)
