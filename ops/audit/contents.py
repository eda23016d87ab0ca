"""
Find every `ce_id`, and every (origin, sequence), that has two different contents. Pure.

The copies of one place must be equal byte for byte. The callbacks of one `ce_id` must have the same
content, which schemas/identity.py defines. Memory is bounded by the number of callbacks, not by
their size: 16 bytes for each place and 28 for each `ce_id`, some 150 for each repeat whose body is
not that of the first, and some 10 MB for 65 536 buckets.
Contents are compared by digests of 64 bits, identities by 80.
"""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from schemas.topics import CALLBACKS, DEAD_LETTERS

# Marks of a `ce_id`, see `mark`.
MESSAGE, SETTLED, ROW, ROW_MATCHES = 1, 2, 4, 8

# Sequences of one origin lie together in runs, so that sequences far apart cost little.
RUN = 256
_KEY_BYTES = 8
_CONTENT_BYTES = 8
_ENTRY_BYTES = _KEY_BYTES + 12 + _CONTENT_BYTES
_SEQUENCE_BITS = 60
# Topic, partition and offset in 64 bits, for people alone.
_TOPICS = (CALLBACKS.name, DEAD_LETTERS.name, "another topic")
_PARTITION_BITS = 14
_OFFSET_BITS = 48


class Place(NamedTuple):
    """The place of a callback (origin, sequence), and a record that has it."""

    origin: str
    sequence: int
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return the place as people read it."""
        where = (
            self.topic if self.offset < 0 else f"{self.topic}/{self.partition} offset {self.offset}"
        )
        return f"origin {self.origin} sequence {self.sequence} ({where})"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Two contents where there must be one.

    `ce_id` is the id that both places share; "" where both have the same origin and sequence. A
    place in the database has no partition and no offset: they are -1.
    """

    ce_id: str
    first: Place
    second: Place

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
    """The body of every callback, by its place, and of every `ce_id` content and first place."""

    def __init__(self, differs: Callable[[Difference], None]) -> None:
        self._differs = differs
        self._origins: list[str] = []
        self._numbers: dict[str, int] = {}
        # By origin and run of sequences: RUN digests, 0 where none was seen, then RUN records.
        self._runs: dict[int, array[int]] = {}
        # Places whose body is not that of the first place of their `ce_id`.
        self._varied: set[tuple[int, int]] = set()
        # By the first two bytes of a `ce_id`.
        self._buckets: dict[bytes, bytearray] = {}

    def add(self, ce_id: str, body: bytes, place: Place, content: Callable[[], bytes]) -> bool:
        """
        Add the callback at `place`; return True if `ce_id` has been seen at another place.

        A difference is passed on. A place may be added again, from another topic or sink. `content`
        returns a digest that all callbacks of one `ce_id` must share.
        """
        origin = self._number(place.origin)
        digest = _digest(body)
        run, at = self._run(origin, place.sequence), place.sequence % RUN
        if run[at]:
            # A copy has the id of the callback, too.
            if run[at] != digest or not self.is_of(ce_id, place.origin, place.sequence):
                self._differs(Difference("", self._place(origin, place.sequence), place))
            return False
        run[at], run[RUN + at] = digest, _packed(place)
        key, found = _key(ce_id), content()[:_CONTENT_BYTES]
        bucket, entry = self._find(key)
        if entry < 0:
            stored = origin.to_bytes(4, "big") + place.sequence.to_bytes(8, "big")
            bucket += key[2:] + stored + found
            return False
        first = self._first(bucket, entry)
        if self._run(*first)[first[1] % RUN] != digest:
            self._varied.add((origin, place.sequence))
        if bucket[entry + _ENTRY_BYTES - _CONTENT_BYTES : entry + _ENTRY_BYTES] != found:
            self._differs(Difference(ce_id, self._place(*first), place))
        return True

    def mark(self, ce_id: str, mark: int) -> bool:
        """Mark a `ce_id` that was added; return True if it did not have this mark."""
        bucket, at = self._find(_key(ce_id))
        if at < 0 or bucket[at + _KEY_BYTES + 4] >> 4 & mark:
            return False
        bucket[at + _KEY_BYTES + 4] |= mark << 4
        return True

    def is_of(self, ce_id: str, origin: str, sequence: int) -> bool:
        """Return whether `ce_id` may be that of a callback that was added at this place."""
        bucket, entry = self._find(_key(ce_id))
        if entry < 0:
            return False
        here, first = (self._numbers[origin], sequence), self._first(bucket, entry)
        return (
            here == first
            or here in self._varied
            or self._run(*here)[sequence % RUN] == self._run(*first)[first[1] % RUN]
        )

    def is_marked(self, ce_id: str, mark: int) -> bool:
        """Return whether a `ce_id` has a mark."""
        bucket, at = self._find(_key(ce_id))
        return at >= 0 and bool(bucket[at + _KEY_BYTES + 4] >> 4 & mark)

    def row_matches(self, sha256: bytes, origin: str, sequence: int) -> bool | None:
        """
        Return whether a row of the database has the body that was stored at this place.

        None if the place was not seen, so that it is not known.
        """
        number = self._numbers.get(origin)
        if number is None:
            return None
        run = self._runs.get(number << _SEQUENCE_BITS | sequence // RUN)
        if run is None or not run[sequence % RUN]:
            return None
        return run[sequence % RUN] == _number_of(sha256)

    def place(self, origin: str, sequence: int) -> Place:
        """Return where a callback that was added was seen first."""
        return self._place(self._numbers[origin], sequence)

    def _first(self, bucket: bytearray, entry: int) -> tuple[int, int]:
        """Return the origin's number and the sequence of an entry's first place."""
        at = entry + _KEY_BYTES
        stored = int.from_bytes(bucket[at : at + 12], "big")
        return stored >> 64, stored & (1 << _SEQUENCE_BITS) - 1

    def _find(self, key: bytes) -> tuple[bytearray, int]:
        """Return the bucket of `key` and where its entry begins, -1 if there is none."""
        bucket, rest = self._buckets.get(key[:2]), key[2:]
        if bucket is None:
            bucket = self._buckets[key[:2]] = bytearray()
        at = bucket.find(rest)
        while at >= 0 and at % _ENTRY_BYTES:
            at = bucket.find(rest, at + 1)
        return bucket, at

    def _number(self, origin: str) -> int:
        number = self._numbers.setdefault(origin, len(self._origins))
        if number == len(self._origins):
            self._origins.append(origin)
        return number

    def _run(self, origin: int, sequence: int) -> "array[int]":
        key = origin << _SEQUENCE_BITS | sequence // RUN
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = array("Q", bytes(16 * RUN))
        return run

    def _place(self, origin: int, sequence: int) -> Place:
        packed = self._run(origin, sequence)[RUN + sequence % RUN]
        return Place(
            self._origins[origin],
            sequence,
            _TOPICS[packed >> _PARTITION_BITS + _OFFSET_BITS],
            packed >> _OFFSET_BITS & (1 << _PARTITION_BITS) - 1,
            packed & (1 << _OFFSET_BITS) - 1,
        )


def _packed(place: Place) -> int:
    topic = _TOPICS.index(place.topic) if place.topic in _TOPICS else len(_TOPICS) - 1
    partition = place.partition & (1 << _PARTITION_BITS) - 1
    offset = place.offset & (1 << _OFFSET_BITS) - 1
    return (topic << _PARTITION_BITS | partition) << _OFFSET_BITS | offset


def _digest(body: bytes) -> int:
    # The database has the same digests.
    return _number_of(hashlib.sha256(body).digest())


def _number_of(sha256: bytes) -> int:
    # 0 means that nothing was seen.
    return int.from_bytes(sha256[:8], "big") or 1


def _key(ce_id: str) -> bytes:
    # An ingress writes 128 bits of a digest in hex; other producers write any text.
    if len(ce_id) == 32:
        try:
            return bytes.fromhex(ce_id)[: 2 + _KEY_BYTES]
        except ValueError:
            pass
    return hashlib.blake2b(ce_id.encode(), digest_size=2 + _KEY_BYTES).digest()
