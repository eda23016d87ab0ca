"""
A spooled callback as bytes: a checksum, then the time received and the record.

LMDB has no checksums of its own, so every row carries one. It covers the row's place, too: a row
under another number or in another spool is as damaged as a row with a flipped bit.
"""

from collections.abc import Iterable
from zlib import crc32

import msgspec

from schemas.outgoing_record import OutgoingRecord

CHECKSUM_BYTES = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, OutgoingRecord])


class DamagedRow(Exception):
    """The bytes at `number` of a spool's file are not what was stored there."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number


class DamagedCallback(Exception):
    """The row of the callback `sequence` is damaged; the sequence is of the spool's origin now."""

    def __init__(self, damaged_row: DamagedRow, base: int) -> None:
        super().__init__(str(damaged_row))
        # After a new origin, the sequence is not the number (ingress/spool/__init__.py).
        self.sequence = damaged_row.number - base


class Row(msgspec.Struct, frozen=True, gc=False):
    """One stored callback."""

    sequence: int
    received_at_ms: int
    record: OutgoingRecord


def encode(record: OutgoingRecord, received_at_ms: int) -> bytes:
    """Return a row's content; its number is given later."""
    return _encoder.encode((received_at_ms, record))


def checksum(salt: bytes, content: bytes = b"") -> bytes:
    """Return the checksum of bytes in a file; `salt` names the file and where in it they belong."""
    return crc32(content, crc32(salt)).to_bytes(CHECKSUM_BYTES, "big")


def add_checksums(contents: Iterable[bytes], spool_name: str, first_number: int) -> list[bytes]:
    """Return the rows with checksums; their numbers begin at `first_number` in the spool."""
    # This is `checksum`, inline: every callback passes here.
    salt = crc32(b"%s/" % spool_name.encode())
    return [
        crc32(content, crc32(b"%d" % number, salt)).to_bytes(CHECKSUM_BYTES, "big") + content
        for number, content in enumerate(contents, first_number)
    ]


def check_and_decode(stored: bytes, spool_name: str, number: int) -> tuple[int, OutgoingRecord]:
    """
    Return time received and record of the row stored under `number` in the spool `spool_name`.

    Raises:
        DamagedRow: the checksum does not match, or the content cannot be decoded.
    """
    content = stored[CHECKSUM_BYTES:]
    if stored[:CHECKSUM_BYTES] != checksum(b"%s/%d" % (spool_name.encode(), number), content):
        raise DamagedRow(f"row {number} of spool {spool_name} fails its checksum", number)
    try:
        return _decoder.decode(content)
    except msgspec.DecodeError as error:
        raise DamagedRow(f"row {number} of spool {spool_name} cannot be decoded", number) from error
