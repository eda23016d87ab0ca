"""
A spooled callback as bytes: a checksum, then the record and the time of its receipt.

LMDB has no checksums of its own, so every row carries one, over its place as well: a row that
stands at another sequence or in another spool is as damaged as one with a flipped bit.
"""

from typing import NamedTuple
from zlib import crc32

import msgspec

from schemas.record import Record

CHECKSUM_BYTES = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, Record])


class Damaged(Exception):
    """The bytes are not what was stored there."""


class Row(NamedTuple):
    """One stored callback."""

    sequence: int
    received_at_ms: int
    record: Record


def encode(record: Record, received_at_ms: int) -> bytes:
    """Return the row's content; its place is not known yet."""
    return _encoder.encode((received_at_ms, record))


def seal(content: bytes, origin: str, sequence: int) -> bytes:
    """Return the row as it is stored at `sequence` of `origin`."""
    return _checksum(content, origin, sequence) + content


def unseal(stored: bytes, origin: str, sequence: int) -> Row:
    """
    Return the row stored at `sequence` of `origin`.

    Raises:
        Damaged: the checksum does not match, or the content is no row.
    """
    content = stored[CHECKSUM_BYTES:]
    if stored[:CHECKSUM_BYTES] != _checksum(content, origin, sequence):
        raise Damaged(f"the row at sequence {sequence} of spool {origin} fails its checksum")
    try:
        received_at_ms, record = _decoder.decode(content)
    except msgspec.DecodeError as error:
        raise Damaged(f"the row at sequence {sequence} of spool {origin} is no row") from error
    return Row(sequence, received_at_ms, record)


def _checksum(content: bytes, origin: str, sequence: int) -> bytes:
    place = b"%s/%d" % (origin.encode(), sequence)
    return crc32(content, crc32(place)).to_bytes(CHECKSUM_BYTES, "big")
