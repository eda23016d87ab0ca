"""
The first row of each hour: with them, an audit knows the sequences that were stored since a time.

Forwarded rows leave the file, and their times with them. So the transaction that stores the first
row of an hour notes the number of that row.

The hours are those that the clock showed. If the clock is set back, it was ahead before or is
behind now, and the spool cannot know which. So both hours are kept, and a question whose answer
depends on it gets None.
"""

import time
from typing import NamedTuple, TypeAlias

import msgspec

from ingress.spool.row import CHECKSUM_BYTES, checksum

HOUR_S = 3600
# The hours that are kept: 35 days in which callbacks came each hour.
HOURS_MAX = 35 * 24


class FirstRow(NamedTuple):
    """The number of the first row that was stored in an hour, which counts from 1970 in UTC."""

    hour: int
    number: int


Hours: TypeAlias = tuple[FirstRow, ...]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Hours)


def hour_at(time_s: float) -> int:
    """Return the hour of a Unix time."""
    return int(time_s) // HOUR_S


def with_rows(hours: Hours, first_number: int) -> Hours:
    """Return the hours after rows were stored now; `first_number` is that of their first one."""
    hour = hour_at(time.time())
    # A clock that is set back by an hour or less is still within what an audit allows for.
    if hours and hours[-1].hour - 1 <= hour <= hours[-1].hour:
        return hours
    return _bounded((*hours, FirstRow(hour, first_number)))


def _bounded(hours: Hours) -> Hours:
    """
    Return at most HOURS_MAX hours.

    If there are more, the first one is dropped, and those right after it that are earlier.
    """
    if len(hours) <= HOURS_MAX:
        return hours
    forgotten, *kept = hours
    # If the clock was set back after the forgotten hour, the hours until it was right again would
    # seem to be the first ones of the spool.
    reaches_it = (index for index, first in enumerate(kept) if first.hour >= forgotten.hour)
    return tuple(kept[next(reaches_it, 0) :])


def first_number_since(hours: Hours, hour: int, *, base: int, last_number: int) -> int | None:
    """
    Return the first row after `base` that was stored in an hour or later; the next row if none was.

    None if it is not known:
    - The rows before the first hour may be as late. They are there if a release that notes no hours
      has stored them, or if the hours are too long ago.
    - The clock was set back, and it is not known which hours are right: an entry after the asked
      hour has an earlier one, or the last entry before it is not the latest one before it.
    """
    if last_number == base:
        return base + 1
    count = next((at for at, first in enumerate(hours) if first.hour >= hour), len(hours))
    before, since = hours[:count], hours[count:]
    if any(first.hour < hour for first in since):
        return None
    if before and before[-1] != max(before):
        return None
    if not before and not (since and since[0].number <= base + 1):
        return None
    return max(base + 1, since[0].number if since else last_number + 1)


def encode_hours(hours: Hours, spool_name: str) -> bytes:
    """Return the hours with a checksum."""
    content = _encoder.encode(hours)
    return _hours_checksum(content, spool_name) + content


def decode_hours(stored: bytes, spool_name: str) -> Hours:
    """Return the stored hours, none if they are not those that were stored."""
    content = stored[CHECKSUM_BYTES:]
    if stored[:CHECKSUM_BYTES] != _hours_checksum(content, spool_name):
        return ()
    try:
        return _decoder.decode(content)
    except msgspec.DecodeError:
        return ()


def _hours_checksum(content: bytes, spool_name: str) -> bytes:
    return checksum(b"hours %s" % spool_name.encode(), content)
