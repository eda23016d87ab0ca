"""The live updates of the last 15 minutes, in order, so that a viewer gets what it missed."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

# How long updates are kept.
KEPT_S = 15 * 60
_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class Update:
    """One event, with its text for each app (None: of all apps), made when it is first needed."""

    number: int
    at: datetime
    event: str
    data: Callable[[str | None], bytes]
    encoded: dict[str | None, bytes] = field(default_factory=dict)

    def text(self, app: str | None) -> bytes:
        """Return the event's lines."""
        if app not in self.encoded:
            self.encoded[app] = b"id: %s\nevent: %s\ndata: %s\n\n" % (
                event_id(self.at).encode(),
                self.event.encode(),
                self.data(app),
            )
        return self.encoded[app]


def event_id(at: datetime) -> str:
    """Return the id of the events of a time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Updates:
    """The updates that are kept, with numbers that increase by one."""

    def __init__(self) -> None:
        self._updates: deque[Update] = deque()
        self._number = 0

    @property
    def last_at(self) -> datetime | None:
        """The time of the last update that is kept, None if there is none."""
        return self._updates[-1].at if self._updates else None

    def add(self, at: datetime, event: str, data: Callable[[str | None], bytes]) -> None:
        """Add an update; `data` returns its JSON for an app, or for all apps (None)."""
        self._number += 1
        # Two events of one moment have different ids.
        at = max(at, self._updates[-1].at + _TICK) if self._updates else at
        self._updates.append(Update(self._number, at, event, data))

    def forget_old(self, now: datetime) -> None:
        """Forget the updates that are older than KEPT_S."""
        oldest = now - timedelta(seconds=KEPT_S)
        while self._updates and self._updates[0].at < oldest:
            self._updates.popleft()

    def after(self, number: int) -> Sequence[Update]:
        """Return the kept updates after the one with this number."""
        if not self._updates or number >= self._number:
            return ()
        first = self._updates[0].number
        return [self._updates[at] for at in range(max(0, number + 1 - first), len(self._updates))]

    def number_at(self, since: datetime | None) -> int:
        """
        Return the number after which the viewer's updates begin.

        Without `since`, only the newest one is sent.
        """
        if since is not None:
            return next(
                (update.number for update in reversed(self._updates) if update.at <= since),
                self._updates[0].number - 1 if self._updates else 0,
            )
        return max(0, self._number - 1)
