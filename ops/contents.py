"""
Whether one `ce_id`, or one (origin, sequence), was seen with two different contents. Pure.

The copies of one place must be equal byte for byte. The callbacks of one `ce_id` must have the same
content, which schemas/identity.py defines. Memory is bounded by the number of callbacks, not by
their size: 16 bytes for each place and 28 for each `ce_id`, and some 10 MB for 65 536 buckets.
Contents are compared by digests of 64 bits, identities by 80.
"""

import hashlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from schemas.topics import CALLBACKS, DEAD_LETTERS

# Marks of a `ce_id`, see `mark`.
MESSAGE = 1
SETTLED = 2

# Sequences of one origin lie together in runs, so that sequences far apart cost little.
RUN = 256
_KEY_BYTES = 8
_CONTENT_BYTES = 8
_ENTRY_BYTES = _KEY_BYTES + 12 + _CONTENT_BYTES
_SEQUENCE_BITS = 62
# Topic, partition and offset in 64 bits, for people alone.
_TOPICS = (CALLBACKS.name, DEAD_LETTERS.name, "another topic")
_PARTITION_BITS = 14
_OFFSET_BITS = 48


class Place(NamedTuple):
    """Where a callback was stored (origin, sequence), and a record that holds it."""

    origin: str
    sequence: int
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return the place as people read it."""
        return (
            f"origin {self.origin} sequence {self.sequence}"
            f" ({self.topic}/{self.partition} offset {self.offset})"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Two contents where there must be one.

    `ce_id` is the id that both places share; "" where both have the same origin and sequence.
    """

    ce_id: str
    first: Place
    second: Place

    def __str__(self) -> str:
        """Return the difference as people read it."""
        if self.ce_id:
            return f"different callbacks under one id, {self.ce_id}: {self.first} and {self.second}"
        return f"different content under one number: {self.first} and {self.second}"


class Contents:
    """The body of every callback, by its place, and of every `ce_id` content and first place."""

    def __init__(self, differs: Callable[[Difference], None]) -> None:
        self._differs = differs
        self._origins: list[str] = []
        self._numbers: dict[str, int] = {}
        # By origin and run of sequences: RUN digests, 0 where none was seen, then RUN records.
        self._runs: dict[int, array[int]] = {}
        # By the first two bytes of a `ce_id`.
        self._buckets: dict[bytes, bytearray] = {}

    def add(self, ce_id: str, body: bytes, place: Place, content: Callable[[], bytes]) -> bool:
        """
        Add what was seen at `place`; return True if `ce_id` has been seen at another place.

        A difference is passed on. A place may be added again, from another topic or sink. `content`
        returns a digest of what the callbacks of one `ce_id` must have in common.
        """
        origin = self._number(place.origin)
        digest = _digest(body)
        run, at = self._run(origin, place.sequence), place.sequence % RUN
        if run[at]:
            if run[at] != digest:
                self._differs(Difference("", self._place(origin, place.sequence), place))
            return False
        run[at], run[RUN + at] = digest, _packed(place)
        key, found = _key(ce_id), content()[:_CONTENT_BYTES]
        bucket, entry = self._find(key)
        if entry < 0:
            stored = origin.to_bytes(4, "big") + place.sequence.to_bytes(8, "big")
            bucket += key[2:] + stored + found
            return False
        if bucket[entry + _ENTRY_BYTES - _CONTENT_BYTES : entry + _ENTRY_BYTES] != found:
            stored_at = entry + _KEY_BYTES
            first = int.from_bytes(bucket[stored_at : stored_at + 12], "big")
            sequence = first & (1 << _SEQUENCE_BITS) - 1
            self._differs(Difference(ce_id, self._place(first >> 64, sequence), place))
        return True

    def mark(self, ce_id: str, mark: int) -> bool:
        """Mark a `ce_id` that was added; return True if it did not have this mark."""
        bucket, at = self._find(_key(ce_id))
        if at < 0 or bucket[at + _KEY_BYTES + 4] >> 6 & mark:
            return False
        bucket[at + _KEY_BYTES + 4] |= mark << 6
        return True

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


def _digest(content: bytes) -> int:
    # 0 means that nothing was seen.
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") or 1


def _key(ce_id: str) -> bytes:
    # An ingress writes 128 bits of a digest in hex; other producers write any text.
    if len(ce_id) == 32:
        try:
            return bytes.fromhex(ce_id)[: 2 + _KEY_BYTES]
        except ValueError:
            pass
    return hashlib.blake2b(ce_id.encode(), digest_size=2 + _KEY_BYTES).digest()
