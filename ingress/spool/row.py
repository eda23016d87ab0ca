"""
A spooled callback as bytes: a checksum, then the record and the time of its receipt.

LMDB has no checksums of its own, so every row carries one, over its place as well: a row that
stands at another number or in another spool is as damaged as one with a flipped bit.
"""

from collections.abc import Iterable
from zlib import crc32

import msgspec

from schemas.record import OutgoingRecord

CHECKSUM_BYTES = 4
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, OutgoingRecord])


class Damaged(Exception):
    """The bytes at `number` of a spool are not what was stored there."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number
        # The same as the spool's origin counts, where a spool tells it.
        self.sequence = number


class Row(msgspec.Struct, frozen=True, gc=False):
    """One stored callback."""

    sequence: int
    received_at_ms: int
    record: OutgoingRecord


def encode(record: OutgoingRecord, received_at_ms: int) -> bytes:
    """Return the row's content; its place is not known yet."""
    return _encoder.encode((received_at_ms, record))


def seal(contents: Iterable[bytes], spool: str, first: int) -> list[bytes]:
    """Return rows as they are stored in the file `spool`, from the number `first` on."""
    place = crc32(b"%s/" % spool.encode())
    return [
        crc32(content, crc32(b"%d" % number, place)).to_bytes(CHECKSUM_BYTES, "big") + content
        for number, content in enumerate(contents, first)
    ]


def unseal(stored: bytes, spool: str, number: int) -> tuple[int, OutgoingRecord]:
    """
    Return time of receipt and record of the row stored under `number` in the file `spool`.

    Raises:
        Damaged: the checksum does not match, or the content is no row.
    """
    content = stored[CHECKSUM_BYTES:]
    if stored[:CHECKSUM_BYTES] != _checksum(content, spool, number):
        raise Damaged(f"the row {number} of spool {spool} fails its checksum", number)
    try:
        return _decoder.decode(content)
    except msgspec.DecodeError as error:
        raise Damaged(f"the row {number} of spool {spool} is no row", number) from error


def _checksum(content: bytes, spool: str, number: int) -> bytes:
    place = b"%s/%d" % (spool.encode(), number)
    return crc32(content, crc32(place)).to_bytes(CHECKSUM_BYTES, "big")
