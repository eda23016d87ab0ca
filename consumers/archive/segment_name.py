"""
The name of a segment: topic/partition/offset-hour, from the segment's first record.

A segment of markers alone has the offset at which the chain ended, and the hour of its last record.
Two writers that begin at the same record therefore compete for one name, and only one of them can
create it. The offset comes first, so names sort in the order of the chain, whatever the broker's
clock does.
"""

import re
from datetime import UTC, datetime

from consumers.runtime.batch import Partition

SUFFIX = ".jsonl.zst"
OFFSET_DIGITS = 20
# The beginning of a chain has no record. Its name has this text instead of a record's hour; it
# sorts before every hour of a record.
BEGINNING = "0001-01-01T00"
_NAME = re.compile(rf"[0-9]{{{OFFSET_DIGITS}}}-\d{{4}}-\d\d-\d\dT\d\d{re.escape(SUFFIX)}", re.ASCII)


def of_record(partition: Partition, *, offset: int, timestamp_ms: int) -> str:
    """
    Return the name of a segment by its first offset and the time that gives its hour.

    That is the time of its first record, or, of markers alone, of the last record before.
    """
    hour = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return of_hour(partition, offset=offset, hour=f"{hour:%Y-%m-%dT%H}")


def of_hour(partition: Partition, *, offset: int, hour: str) -> str:
    """Return the name of the segment that begins at this offset, in `hour`."""
    return f"{partition}/{prefix(offset)}-{hour}{SUFFIX}"


def of_beginning(partition: Partition, offset: int) -> str:
    """Return the name of the beginning of a chain; it sorts before all others of `offset`."""
    return of_hour(partition, offset=offset, hour=BEGINNING)


def prefix(offset: int) -> str:
    """Return a text that sorts just before the first name that may begin at `offset`."""
    return f"{offset:0{OFFSET_DIGITS}d}"


def is_name(path: str) -> bool:
    """Return whether the last part of `path` has the form of a segment's name."""
    return _NAME.fullmatch(path, path.rfind("/") + 1) is not None


def first_offset(name: str) -> int:
    """Return the first offset in a segment's name."""
    at = name.rfind("/") + 1
    return int(name[at : at + OFFSET_DIGITS])


def hour(name: str) -> str:
    """Return the hour in a segment's name, see `of_record`, or BEGINNING."""
    return name[name.rfind("/") + OFFSET_DIGITS + 2 : -len(SUFFIX)]
