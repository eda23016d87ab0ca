"""
The first row of each hour: with them, an audit knows the sequences that were stored since a time.

Forwarded rows leave the file, and their times with them. So the transaction that stores the first
row of an hour notes the number of that row.
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
    if hours and hour < hours[-1].hour - 1:
        # The clock was ahead and was set back. The rows that were stored meanwhile count as those
        # of this hour; else the hours until then would have no first rows.
        ahead = [first for first in hours if first.hour > hour]
        hours = hours[: -len(ahead)]
        first_number = ahead[0].number
    if hours and hour <= hours[-1].hour:
        return hours
    return (*hours, FirstRow(hour, first_number))[-HOURS_MAX:]


def first_number_since(hours: Hours, hour: int, *, base: int, last_number: int) -> int | None:
    """
    Return the first row after `base` that was stored in an hour or later; the next row if none was.

    None if it is not known: the rows before the first hour may be as late. They are there if a
    release that notes no hours has stored them, or if the hours are too long ago.
    """
    if last_number == base:
        return base + 1
    if not hours or not (hours[0].hour < hour or hours[0].number <= base + 1):
        return None
    since = (first.number for first in hours if first.hour >= hour)
    return max(base + 1, next(since, last_number + 1))


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
