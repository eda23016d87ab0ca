"""The sources that a search asks, and what each of them answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.records.time_range import TimeRange
from schemas.kafka_access import KafkaAccess

# Shows how far a source was read.
Progress = Callable[[str], None]


class NotSearched(Exception):
    """A source was not searched, or only in part; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A source that was searched: how much of it, and the time range, None for all of it."""

    extent: str
    range: TimeRange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The addresses of all sources; None or () if a source is not named."""

    kafka: KafkaAccess | None = None
    archive: str | None = None
    postgres: str | None = None
    counters: str | None = None
    ingresses: tuple[str, ...] = ()
    spool: Path | None = None
