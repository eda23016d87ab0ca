"""
The entries of a `ce_id` that has too many for the memory, for example that of a probe's body.

Temporary files have the entries by origin and sequence, so that few of them are read at a time.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping

from ops.audit.bucket_file import COLUMNS, BucketFile
from ops.audit.entries import ENTRY_HASH, KEY, Entry, EntryRows, Kind, place_bucket, rows_without
from ops.audit.group import Group, Pair, Reread

# The rows in memory of each of the temporary files of one id.
SORTED_BYTES_MAX = 4 << 20


class LargeGroup:
    """
    Sorts the entries of the id with 64 bits `key` that are in `bucket` of `files`.

    `claim_as_callback(entry)`: take a dead letter as the callback itself, or return False.
    """

    def __init__(
        self,
        rows: EntryRows,
        files: Mapping[Kind, BucketFile],
        bucket: int,
        key: int,
        claim_as_callback: Callable[[Entry], bool],
    ) -> None:
        self._rows = rows
        self._files = files
        self._bucket = bucket
        self._key = key
        # By origin and sequence. Dead letters are among the copies, or are callbacks.
        self._sorted = {kind: BucketFile(buffer_bytes_max=SORTED_BYTES_MAX) for kind in Kind}
        for kind in Kind:
            for row in self._read(kind):
                to_kind = kind
                if kind is Kind.DEAD_LETTER and not claim_as_callback(rows.entry(row)):
                    to_kind = Kind.COPY
                self._sorted[to_kind].add(place_bucket(row), *row)

    def _read(self, kind: Kind) -> "Iterator[array[int]]":
        for piece in self._files[kind].pieces(self._bucket):
            for index in range(0, len(piece), COLUMNS):
                if piece[index + KEY] == self._key:
                    yield piece[index : index + COLUMNS]

    def group(self) -> Group:
        """Return the group. It reads the temporary files, and raises `AuditFailed` as they do."""
        any_row = next(row for kind in Kind for row in self._read(kind))
        return Group(
            ce_id=self._rows.ce_id(self._bucket, self._key, self._rows.entry(any_row).rest),
            callbacks=Reread(self._callbacks),
            copies=Reread(lambda: self._unequal(Kind.COPY)),
            receipts=Reread(lambda: self._unequal(Kind.RECEIPT)),
            deliveries=Reread(lambda: self._unequal(Kind.DELIVERY)),
        )

    def _callbacks(self) -> Iterator[Entry]:
        """Yield the callbacks in the order in which they came, then the dead letters."""
        yield from map(self._rows.entry, self._read(Kind.CALLBACK))
        for bucket in self._sorted[Kind.DEAD_LETTER].buckets():
            yield from self._entries(Kind.DEAD_LETTER, bucket)

    def _entries(self, kind: Kind, bucket: int) -> Iterator[Entry]:
        for piece in self._sorted[kind].pieces(bucket):
            for index in range(0, len(piece), COLUMNS):
                yield self._rows.entry(piece[index : index + COLUMNS])

    def _unequal(self, kind: Kind) -> Iterator[Pair]:
        """Yield the entries that are not equal to a callback."""
        for bucket in self._sorted[kind].buckets():
            hashes = set(self._sorted[Kind.CALLBACK].rows(bucket)[ENTRY_HASH::COLUMNS])
            by_place: dict[tuple[str, int], Entry] | None = None
            for piece in self._sorted[kind].pieces(bucket):
                for row in rows_without(piece, hashes):
                    if by_place is None:
                        by_place = self._by_place(bucket)
                    entry = self._rows.entry(row)
                    yield entry, by_place.get(entry.place)

    def _by_place(self, bucket: int) -> dict[tuple[str, int], Entry]:
        return {
            callback.place: callback
            for kind in (Kind.CALLBACK, Kind.DEAD_LETTER)
            for callback in self._entries(kind, bucket)
        }
