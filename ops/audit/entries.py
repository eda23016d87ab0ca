"""
The entries of an audit, as rows of integers: callbacks, copies, receipts, deliveries.

A row begins with 64 bits of the `ce_id`, then comes a hash of everything that is compared: two
entries with one hash have the same id, origin, sequence and body.
"""

import hashlib
from array import array
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from ops.audit.bucket_file import BUCKETS, COLUMNS
from ops.audit.difference import Location, unpacked
from ops.audit.text_file import TextFile

# The number of a bucket, and the columns of a row.
BucketRow: TypeAlias = tuple[int, ...]

_64_BITS = (1 << 64) - 1
_BUCKET_BITS = BUCKETS.bit_length() - 1
_REST_BITS = 128 - 64 - _BUCKET_BITS
# Spreads the last bits of an id over all others.
_ODD = 0x9E37_79B9_7F4A_7C15_F39D
# The rest of an id that is not 128 bits in hex: its position in a file of texts, and which one.
_IS_TEXT = 1 << 63
_IS_TEXT_OF_RECEIPT = 1 << 62
# The columns of a row: 64 bits of the id; a hash of them, the origin, the sequence and the body;
# and the fields of an Entry.
KEY, ENTRY_HASH, _ORIGIN_AND_KEY, SEQUENCE, _BODY, _CONTENT, _LOCATION, _REST = range(COLUMNS)
_KEY_BITS = 32


class Kind(IntEnum):
    """The kind of a row; each kind has a file: callbacks, and rows that should equal one."""

    CALLBACK = 0
    DEAD_LETTER = 1
    COPY = 2
    RECEIPT = 3
    DELIVERY = 4


class Entry(NamedTuple):
    """
    A callback, a copy of it, a receipt of the database, or a delivery to a webhook.

    `body_digest` is 0 if the body is not known. `content_digest`: see `Contents.add`.
    `key_or_webhook`: of a callback, the number of its `CountKey`; of a delivery, that of its
    webhook. `sequence` is 0 if origin and sequence are not known.
    """

    origin: str
    sequence: int
    body_digest: int
    content_digest: int
    key_or_webhook: int
    packed_location: int
    rest: int

    @property
    def place(self) -> tuple[str, int]:
        """Origin and sequence."""
        return self.origin, self.sequence

    @property
    def location(self) -> Location:
        """The record in which a callback or a copy was seen."""
        return unpacked(self.origin, self.sequence, self.packed_location)


class EntryRows:
    """Makes rows of entries, and entries of rows. Origins and odd ids are kept beside the rows."""

    def __init__(self) -> None:
        self._origins: list[str] = []
        self._origin_numbers: dict[str, int] = {}
        self._texts = TextFile()
        # Those of receipts, which are read again and again.
        self._texts_of_receipts = TextFile()

    def forget_texts_of_receipts(self) -> None:
        """Forget the ids of receipts, whose entries must not be used any more."""
        self._texts_of_receipts = TextFile()

    def bucket_row(
        self,
        ce_id: str,
        body_sha256: bytes | None,
        location: Location,
        *,
        content_digest: bytes = b"",
        key_or_webhook: int = 0,
        is_receipt: bool = False,
    ) -> BucketRow:
        """
        Return the number of the bucket, then the columns, which are what `entry` takes.

        Raises:
            AuditFailed: the directory of temporary files is full, or fails.
        """
        bucket, key, rest = self._key(ce_id, is_receipt=is_receipt)
        number = self._origin_numbers.setdefault(location.origin, len(self._origins))
        if number == len(self._origins):
            self._origins.append(location.origin)
        # 0 means that the body is not known, so it is not used as a digest.
        body_digest = (int.from_bytes(body_sha256[:8], "big") or 1) if body_sha256 else 0
        # No sender can choose these integers, so two tuples have the same hash by chance only.
        entry_hash = hash((key, number, location.sequence, body_digest)) & _64_BITS
        return (
            bucket,
            key,
            entry_hash,
            number << _KEY_BITS | key_or_webhook,
            location.sequence,
            body_digest,
            int.from_bytes(content_digest[:8], "big"),
            location.packed(),
            rest,
        )

    def _key(self, ce_id: str, *, is_receipt: bool) -> tuple[int, int, int]:
        """Return the bucket of an id, 64 bits of it, and the rest that completes it."""
        # An ingress writes 128 bits of a digest in hex; other producers write any text.
        if len(ce_id) == 32:
            try:
                bits = bytes.fromhex(ce_id)
            except ValueError:
                bits = b""
            # `fromhex` also takes capitals and blanks.
            if bits.hex() == ce_id:
                return _mixed(int.from_bytes(bits, "big"))
        number = int.from_bytes(hashlib.blake2b(ce_id.encode(), digest_size=16).digest(), "big")
        rest = (
            _IS_TEXT | _IS_TEXT_OF_RECEIPT | self._texts_of_receipts.add(ce_id)
            if is_receipt
            else _IS_TEXT | self._texts.add(ce_id)
        )
        return number >> 64 + _REST_BITS, number >> _REST_BITS & _64_BITS, rest

    def ce_id(self, bucket: int, key: int, rest: int) -> str:
        """
        Return the id of entries with this bucket, key and rest.

        Raises:
            AuditFailed: a temporary file cannot be read.
        """
        if rest & _IS_TEXT:
            texts = self._texts_of_receipts if rest & _IS_TEXT_OF_RECEIPT else self._texts
            return texts.text(rest & _IS_TEXT_OF_RECEIPT - 1)
        return f"{_unmixed(bucket, key, rest):032x}"

    def entry(self, row: "array[int]") -> Entry:
        """Return the entry with these columns: a row without the number of its bucket."""
        origin = self._origins[row[_ORIGIN_AND_KEY] >> _KEY_BITS]
        key_or_webhook = row[_ORIGIN_AND_KEY] & (1 << _KEY_BITS) - 1
        return Entry(
            origin,
            row[SEQUENCE],
            row[_BODY],
            row[_CONTENT],
            key_or_webhook,
            row[_LOCATION],
            row[_REST],
        )


def place_bucket(row: "array[int]") -> int:
    """Return a bucket that the origin and the sequence of a row choose."""
    return hash((row[_ORIGIN_AND_KEY] >> _KEY_BITS, row[SEQUENCE])) % BUCKETS


def rows_without(rows: "array[int]", hashes: set[int]) -> "Iterator[array[int]]":
    """Yield the rows whose entry hash is not one of `hashes`."""
    if hashes.issuperset(of_rows := rows[ENTRY_HASH::COLUMNS]):
        return
    for index, entry_hash in enumerate(of_rows):
        if entry_hash not in hashes:
            yield rows[index * COLUMNS : (index + 1) * COLUMNS]


def _mixed(number: int) -> tuple[int, int, int]:
    """Return bucket, key and rest of an id of 128 bits, also of ids that differ in few bits."""
    rest = number & (1 << _REST_BITS) - 1
    high = number >> _REST_BITS ^ rest * _ODD & (1 << _BUCKET_BITS + 64) - 1
    return high >> 64, high & _64_BITS, rest


def _unmixed(bucket: int, key: int, rest: int) -> int:
    high = (bucket << 64 | key) ^ rest * _ODD & (1 << _BUCKET_BITS + 64) - 1
    return high << _REST_BITS | rest
