"""
The state of a spool: a value that a write transaction builds from the one before.

The writer replaces the state in one assignment after the commit has succeeded. The state and
`SpoolWriter.aborted_origin` are all that the writer's thread and the event loop's thread share in
memory.
"""

from typing import NamedTuple

import msgspec

from ingress.spool.disk import Corrupt
from ingress.spool.hours import Hours, first_number_since
from ingress.spool.row import CHECKSUM_BYTES, checksum

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[str, int, int, int])
# The stored part of the state as MessagePack: an array of four. Releases before 0.2, which note no
# hours, read both forms and write the shorter one. So the short form means that an older
# release stored rows after the last noted hour: the hours are out of date.
_SHORT_ARRAY, _LONG_ARRAY = b"\x94", b"\xdd\0\0\0\x04"


class SpoolState(NamedTuple):
    """
    The state of the spool's file after one commit.

    The sequence of a row is its number minus `base` (ingress/spool/__init__.py).
    """

    origin: str
    base: int
    # The lowest number that is still in the file, the next one to be given if the file has no rows;
    # and the highest number that was ever given.
    first_number: int
    last_number: int
    # The last number of the first block, 0 if there is no block.
    first_block_last_number: int
    # The numbers of all rows that were ever put into quarantine.
    quarantined_numbers: frozenset[int]
    # Bytes of the LMDB pages in use, by rows and by the quarantine.
    used_bytes: int
    # The first rows of the last hours.
    hours: Hours = ()

    @property
    def first_sequence(self) -> int:
        """The lowest sequence that is still in the spool, or the next one to be given."""
        return self.first_number - self.base

    @property
    def last_sequence(self) -> int:
        """The highest sequence that was ever given, 0 if there was none."""
        return self.last_number - self.base

    @property
    def row_count(self) -> int:
        """
        The number of rows in the file, without those in quarantine.

        Forwarded rows count until their block is removed.
        """
        numbers = self.last_number + 1 - self.first_number
        return numbers - sum(self.first_number <= number for number in self.quarantined_numbers)

    @property
    def quarantined_sequences(self) -> list[int]:
        """The rows of the current origin that are in quarantine, by sequence, in order."""
        return [
            number - self.base for number in sorted(self.quarantined_numbers) if number > self.base
        ]

    def first_sequence_since(self, hour: int) -> int | None:
        """
        Return the first sequence that was stored in `hour` or later; the next one if none was.

        None if it is not known (ingress/spool/hours.py).
        """
        number = first_number_since(self.hours, hour, base=self.base, last_number=self.last_number)
        return None if number is None else number - self.base

    def last_removable_number(self, forwarded_sequence: int) -> int:
        """Return the last number up to which all rows are forwarded or in quarantine."""
        number = self.base + forwarded_sequence
        while number + 1 in self.quarantined_numbers:
            number += 1
        return number

    def has_removable_block(self, forwarded_sequence: int) -> bool:
        """Return whether all rows of the first block are forwarded or in quarantine."""
        return 0 < self.first_block_last_number <= self.last_removable_number(forwarded_sequence)


def encode_state(state: SpoolState, spool_name: str) -> bytes:
    """
    Return, with a checksum, the part of the state that the file stores.

    The rest is derived from the blocks in the file.
    """
    content = _LONG_ARRAY + _encoder.encode(state[:4]).removeprefix(_SHORT_ARRAY)
    return _state_checksum(content, spool_name) + content


def check_and_decode_state(stored: bytes, spool_name: str) -> SpoolState:
    """
    Return the stored part of the state of the spool `spool_name`.

    Raises:
        Corrupt: the bytes are not those that were stored, so it is not known which numbers were
            given.
    """
    content = stored[CHECKSUM_BYTES:]
    if stored[:CHECKSUM_BYTES] != _state_checksum(content, spool_name):
        raise Corrupt(f"the state of spool {spool_name} fails its checksum")
    try:
        return SpoolState(*_decoder.decode(content), 0, frozenset(), 0)
    except msgspec.DecodeError as error:
        raise Corrupt(f"the state of spool {spool_name} cannot be read: {error}") from error


def covers_hours(stored: bytes) -> bool:
    """Return whether the release that stored this state notes hours."""
    return stored.startswith(_LONG_ARRAY, CHECKSUM_BYTES)


def with_number_checksum(remains: bytes, spool_name: str, number: int) -> bytes:
    """
    Return the remains of the row `number` with a checksum of the spool's name and the number.

    The checksum does not cover the remains: a flipped bit in them is not noticed.
    """
    return _number_checksum(spool_name, number) + remains


def strip_number_checksum(stored: bytes, spool_name: str, number: int) -> bytes:
    """
    Return the remains of the row `number` in quarantine.

    Raises:
        Corrupt: they belong to another row, so it is not known which rows are in quarantine.
    """
    if stored[:CHECKSUM_BYTES] != _number_checksum(spool_name, number):
        raise Corrupt(f"the quarantine of spool {spool_name} is damaged at row {number}")
    return stored[CHECKSUM_BYTES:]


def _state_checksum(content: bytes, spool_name: str) -> bytes:
    return checksum(b"state %s" % spool_name.encode(), content)


def _number_checksum(spool_name: str, number: int) -> bytes:
    return checksum(b"quarantine %s/%d" % (spool_name.encode(), number))
