"""
Compute names and contents of one year of an archive that has a segment for each minute.

The broker's clock was wrong: nine years ahead for an hour in the middle of the year, and a year
behind in its last five minutes. So the last segment is not in one of the newest hours.
"""

import bisect
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from support.archive.archives import numbered

from consumers.archive import new_segment, segment_name
from consumers.runtime.batch import Batch, Partition, Position
from schemas.topics import CALLBACKS

MINUTES = 525_600
PARTITIONS = 6
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
AHEAD = range(300_000, 300_060)
BACK = range(MINUTES - 5, MINUTES)
YEAR = timedelta(days=365)


def partition(number: int) -> Partition:
    """Return a partition of the topic."""
    return Partition(CALLBACKS.name, number)


def at(minute: int) -> datetime:
    """Return the broker's (possibly wrong) time in this minute."""
    time = FIRST + timedelta(minutes=minute)
    if minute in AHEAD:
        return time + 9 * YEAR
    return time - YEAR if minute in BACK else time


def name(number: int, minute: int) -> str:
    """Return the name of a minute's segment, which covers a record and a transaction marker."""
    return segment_name.of_hour(partition(number), offset=2 * minute, hour=_hour(at(minute)))


def position(number: int, minute: int = MINUTES - 1) -> Position:
    """Return the position after the segment of this minute, or after the last segment."""
    return Position(2 * minute + 2, (2 * minute, f"{number:016}", minute + 1))


def content(number: int, minute: int) -> bytes:
    """Return a minute's segment."""
    at_ms = int(at(minute).timestamp() * 1000)
    record = numbered(minute + 1, at_ms=at_ms, origin=f"{number:016}")._replace(offset=2 * minute)
    called, made = new_segment.of_batch(
        Batch(
            partition=partition(number),
            begins_at=2 * minute,
            reached=position(number, minute),
            records=(record,),
        )
    )
    assert called == name(number, minute)
    return made


def _hour(time: datetime) -> str:
    return time.isoformat(timespec="hours")[:13]


def names_after(number: int, after: str) -> Iterator[str]:
    """Yield the names of a partition's year that sort after `after`."""
    begin = bisect.bisect_right(range(MINUTES), after, key=lambda minute: name(number, minute))
    return (name(number, minute) for minute in range(begin, MINUTES))


def all_after(after: str) -> Iterator[str]:
    """Yield the names of all partitions that sort after `after`."""
    return itertools.chain.from_iterable(names_after(number, after) for number in range(PARTITIONS))


def content_of(called: str) -> bytes | None:
    """Return the content of the segment with this name, None if the year has no such segment."""
    if not segment_name.is_name(called):
        return None
    number, minute = int(called.split("/")[-2]), segment_name.first_offset(called) // 2
    in_year = number < PARTITIONS and minute < MINUTES and called == name(number, minute)
    return content(number, minute) if in_year else None
