"""
Find every `ce_id`, and every (origin, sequence), that has two different contents. Does no I/O.

All copies of one sequence, in the topics and in the archive, must be equal byte for byte. All
callbacks of one `ce_id` must have the same content, which schemas/identity.py defines.

Bodies are not kept, only digests of 64 bits, and 80 bits of each id: 16 bytes for each sequence, 28
for each `ce_id`, some 150 for each repeat whose body differs from the first one, and 10 MB for
65,536 buckets.
"""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from schemas.topics import CALLBACKS, DEAD_LETTERS

# Marks of a `ce_id`, see `mark`.
COUNTED, UP_TO_END, ROW, ROW_MATCHES = 1, 2, 4, 8

# The sequences of an origin are kept in blocks, so that sequences far apart need little memory.
BLOCK = 256
# An entry of 28 bytes for each `ce_id`, in the bucket of the first two bytes of its key:
#
#     0      8        12              20       28
#     | key  | origin | m | sequence  | content |     m: 4 bits of marks, then 60 bits of sequence
#
# `origin` and `sequence` are the place where the `ce_id` was seen first.
_KEY_BYTES = 8
_CONTENT_BYTES = 8
_MARKS_AT = _KEY_BYTES + 4
_CONTENT_AT = _KEY_BYTES + 12
_ENTRY_BYTES = _CONTENT_AT + _CONTENT_BYTES
_SEQUENCE_BITS = 60
# Topic, partition and offset in 64 bits. They are only shown to people, so large ones may be cut.
_TOPICS = (CALLBACKS.name, DEAD_LETTERS.name, "another topic")
_PARTITION_BITS = 14
_OFFSET_BITS = 48


class Location(NamedTuple):
    """The origin and the sequence of a callback, and the record in which it was seen."""

    origin: str
    sequence: int
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return the location as people read it."""
        where = (
            self.topic if self.offset < 0 else f"{self.topic}/{self.partition} offset {self.offset}"
        )
        return f"origin {self.origin} sequence {self.sequence} ({where})"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Two contents that should be one.

    `ce_id` is the id that both locations share; "" if they have the same origin and sequence. A
    location in the database has no partition and no offset: they are -1.
    """

    ce_id: str
    first: Location
    second: Location

    def __str__(self) -> str:
        """Return the difference as people read it."""
        if self.ce_id:
            return f"different callbacks under one id, {self.ce_id}: {self.first} and {self.second}"
        return f"different content under one sequence: {self.first} and {self.second}"


class Differences:
    """Counts differences, and keeps the first of them."""

    def __init__(self, *, listed_max: int) -> None:
        self._listed_max = listed_max
        self.count = 0
        self.listed: list[Difference] = []

    def add(self, difference: Difference) -> None:
        """Count a difference."""
        self.count += 1
        if len(self.listed) < self._listed_max:
            self.listed.append(difference)


class Contents:
    """The digest of every callback's body, and the content and first place of every `ce_id`."""

    def __init__(self, differs: Callable[[Difference], None]) -> None:
        self._differs = differs
        self._origins: list[str] = []
        self._origin_numbers: dict[str, int] = {}
        # By origin and block of sequences: BLOCK digests of bodies (0: not seen), BLOCK records.
        self._blocks: dict[int, array[int]] = {}
        # Origin and sequence of repeats whose body is not that of the first place of their `ce_id`.
        self._varied: set[tuple[int, int]] = set()
        # By the first two bytes of a key, the entries of the keys that begin with them.
        self._buckets: dict[bytes, bytearray] = {}

    def add(
        self, ce_id: str, body: bytes, location: Location, content: Callable[[], bytes]
    ) -> bool:
        """
        Add a callback; return True if its `ce_id` was seen at another sequence before.

        A copy of a callback may be added again, from another topic or the archive. `content`
        returns a digest that all callbacks of one `ce_id` must share.
        """
        origin = self._origin_number(location.origin)
        digest = _digest(body)
        block, index = self._block(origin, location.sequence), location.sequence % BLOCK
        if block[index]:
            # A copy must also have the id of the callback.
            if block[index] != digest or not self.is_of(ce_id, location.origin, location.sequence):
                self._differs(Difference("", self._location(origin, location.sequence), location))
            return False
        block[index], block[BLOCK + index] = digest, _packed(location)
        key, shared = _key(ce_id), content()[:_CONTENT_BYTES]
        bucket, entry = self._find(key)
        if entry < 0:
            stored = origin.to_bytes(4, "big") + location.sequence.to_bytes(8, "big")
            bucket += key[2:] + stored + shared
            return False
        first = self._first(bucket, entry)
        if self._block(*first)[first[1] % BLOCK] != digest:
            self._varied.add((origin, location.sequence))
        if bucket[entry + _CONTENT_AT : entry + _ENTRY_BYTES] != shared:
            self._differs(Difference(ce_id, self._location(*first), location))
        return True

    def mark(self, ce_id: str, mark: int) -> bool:
        """Mark a `ce_id` that was added; return True if it did not have this mark."""
        bucket, entry = self._find(_key(ce_id))
        if entry < 0 or bucket[entry + _MARKS_AT] >> 4 & mark:
            return False
        bucket[entry + _MARKS_AT] |= mark << 4
        return True

    def is_of(self, ce_id: str, origin: str, sequence: int) -> bool:
        """Return whether the callback that was added at this sequence may have this `ce_id`."""
        bucket, entry = self._find(_key(ce_id))
        if entry < 0:
            return False
        place, first = (self._origin_numbers[origin], sequence), self._first(bucket, entry)
        return (
            place == first
            or place in self._varied
            or self._block(*place)[sequence % BLOCK] == self._block(*first)[first[1] % BLOCK]
        )

    def is_marked(self, ce_id: str, mark: int) -> bool:
        """Return whether a `ce_id` has a mark."""
        bucket, entry = self._find(_key(ce_id))
        return entry >= 0 and bool(bucket[entry + _MARKS_AT] >> 4 & mark)

    def row_matches(self, sha256: bytes, origin: str, sequence: int) -> bool | None:
        """
        Return whether a row of the database has the body that was added at this sequence.

        Return None if no callback was added there.
        """
        stored = self._digest_at(origin, sequence)
        return stored == _first_64_bits(sha256) if stored else None

    def has(self, origin: str, sequence: int) -> bool:
        """Return whether a callback was added at this sequence."""
        return self._digest_at(origin, sequence) != 0

    def first_place(self, ce_id: str) -> tuple[str, int] | None:
        """Return origin and sequence of the first callback with a `ce_id`, None if none has it."""
        bucket, entry = self._find(_key(ce_id))
        if entry < 0:
            return None
        origin, sequence = self._first(bucket, entry)
        return self._origins[origin], sequence

    def _digest_at(self, origin: str, sequence: int) -> int:
        number = self._origin_numbers.get(origin)
        block = None if number is None else self._blocks.get(_block_key(number, sequence))
        return block[sequence % BLOCK] if block else 0

    def location(self, origin: str, sequence: int) -> Location:
        """Return the record in which a callback was seen first."""
        return self._location(self._origin_numbers[origin], sequence)

    def _first(self, bucket: bytearray, entry: int) -> tuple[int, int]:
        """Return the origin's number and the sequence of an entry's first place."""
        stored = int.from_bytes(bucket[entry + _KEY_BYTES : entry + _CONTENT_AT], "big")
        return stored >> 64, stored & (1 << _SEQUENCE_BITS) - 1

    def _find(self, key: bytes) -> tuple[bytearray, int]:
        """Return the bucket of `key`, and the index of its entry there, -1 if it has none."""
        bucket, rest = self._buckets.get(key[:2]), key[2:]
        if bucket is None:
            bucket = self._buckets[key[:2]] = bytearray()
        entry = bucket.find(rest)
        while entry >= 0 and entry % _ENTRY_BYTES:  # bytes that span two entries or fields
            entry = bucket.find(rest, entry + 1)
        return bucket, entry

    def _origin_number(self, origin: str) -> int:
        number = self._origin_numbers.setdefault(origin, len(self._origins))
        if number == len(self._origins):
            self._origins.append(origin)
        return number

    def _block(self, origin: int, sequence: int) -> "array[int]":
        key = _block_key(origin, sequence)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = array("Q", bytes(16 * BLOCK))
        return block

    def _location(self, origin: int, sequence: int) -> Location:
        packed = self._block(origin, sequence)[BLOCK + sequence % BLOCK]
        return Location(
            self._origins[origin],
            sequence,
            _TOPICS[packed >> _PARTITION_BITS + _OFFSET_BITS],
            packed >> _OFFSET_BITS & (1 << _PARTITION_BITS) - 1,
            packed & (1 << _OFFSET_BITS) - 1,
        )


def _block_key(origin: int, sequence: int) -> int:
    return origin << _SEQUENCE_BITS | sequence // BLOCK


def _packed(location: Location) -> int:
    topic = _TOPICS.index(location.topic) if location.topic in _TOPICS else len(_TOPICS) - 1
    partition = location.partition & (1 << _PARTITION_BITS) - 1
    offset = location.offset & (1 << _OFFSET_BITS) - 1
    return (topic << _PARTITION_BITS | partition) << _OFFSET_BITS | offset


def _digest(body: bytes) -> int:
    # The database can compute SHA-256 of its bodies, too.
    return _first_64_bits(hashlib.sha256(body).digest())


def _first_64_bits(sha256: bytes) -> int:
    # 0 means that no callback was seen, so it is not used as a digest.
    return int.from_bytes(sha256[:8], "big") or 1


def _key(ce_id: str) -> bytes:
    # An ingress writes 128 bits of a digest in hex; other producers write any text.
    if len(ce_id) == 32:
        try:
            return bytes.fromhex(ce_id)[: 2 + _KEY_BYTES]
        except ValueError:
            pass
    return hashlib.blake2b(ce_id.encode(), digest_size=2 + _KEY_BYTES).digest()
