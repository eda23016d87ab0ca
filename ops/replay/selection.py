"""Which callbacks are replayed, and from where. Does no I/O."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import orjson

from consumers.runtime.batch import Record
from ops.find.question import Question
from ops.find.record_filter import RecordFilter
from ops.records.header_texts import header_texts
from ops.records.time_range import TimeRange

# Without --since and --until, nothing is earlier or later than these.
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class SourceKind(StrEnum):
    """Where callbacks are read."""

    TOPIC = "topic"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySelection:
    """
    The callbacks to replay: all conditions that are given must hold.

    `since` and `until` are of Kafka's time, in UTC; `until` is exclusive. `users` are one or two
    parties, as in `hookline find`.
    """

    source: SourceKind
    since: datetime | None = None
    until: datetime | None = None
    app: str | None = None
    users: tuple[str, ...] = ()
    group: str | None = None
    command: str | None = None

    @property
    def time_range(self) -> TimeRange:
        """The range of Kafka's time."""
        return TimeRange(since=self.since or _EARLIEST, until=self.until or _LATEST)

    @property
    def digest(self) -> str:
        """A name for the selection, which no other one has; the same in each run."""
        conditions = (
            *(self.source, self.since, self.until),
            *(self.app, self.users, self.group, self.command),
        )
        return hashlib.sha256(orjson.dumps(conditions)).hexdigest()[:16]

    def selects(self) -> Callable[[Record], bool]:
        """Return a function that decides whether a record is replayed."""
        since_ms, until_ms = (
            round(each.timestamp() * 1000)
            for each in (self.time_range.since, self.time_range.until)
        )
        question = Question(app=self.app, accounts=self.users, group=self.group)
        matches = RecordFilter(question).matches
        is_filtered = bool(str(question) or self.command)

        def is_selected(record: Record) -> bool:
            if not since_ms <= record.timestamp_ms < until_ms:
                return False
            if not is_filtered:
                return True
            headers = header_texts(record.headers)
            return self.command in (None, headers.get("ce_type")) and matches(headers, record.value)

        return is_selected

    def __str__(self) -> str:
        """Return the selection in words."""
        parts = ["callbacks"]
        if self.command:
            parts.append(f"of the command {self.command}")
        if self.app:
            parts.append(f"of the app {self.app}")
        if self.users:
            parts.append(f"of the user {' and the user '.join(self.users)}")
        if self.group:
            parts.append(f"of the group {self.group}")
        if self.since:
            parts.append(f"since {self.since:%Y-%m-%d %H:%M:%S}")
        if self.until:
            parts.append(f"until {self.until:%Y-%m-%d %H:%M:%S}")
        return " ".join(parts) + (" UTC" if self.since or self.until else "")
