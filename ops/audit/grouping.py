"""
Find the ids that several callbacks have, and the entries that equal no callback.

One bucket is read at a time (bucket_file.py), and what equals a callback is left out at once. An id
with many entries is not read with its bucket, but in parts (large_group.py).
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pyroaring import BitMap64

from ops.audit.bucket_file import COLUMNS, BucketFile
from ops.audit.difference import Location
from ops.audit.entries import ENTRY_HASH, KEY, SEQUENCE, Entry, EntryRows, Kind, rows_without
from ops.audit.group import Group, Pair
from ops.audit.large_group import LargeGroup

# The entries of one id that are read with its bucket; they take some 40 MB.
ROWS_OF_ID_MAX = 1 << 16


@dataclass(slots=True)
class _Entries:
    """
    The entries of one id.

    Copies, receipts and deliveries are only those that equal none of the callbacks.
    """

    callbacks: list[Entry] = field(default_factory=list)
    copies: list[Entry] = field(default_factory=list)
    receipts: list[Entry] = field(default_factory=list)
    deliveries: list[Entry] = field(default_factory=list)

    def any_entry(self) -> Entry:
        """Return an entry of the id."""
        return (self.callbacks or self.copies or self.receipts or self.deliveries)[0]

    def group(self, ce_id: str) -> Group:
        """Return the group, with the callbacks that have the places of the other entries."""
        by_place = {callback.place: callback for callback in self.callbacks}

        def pairs(entries: list[Entry]) -> list[Pair]:
            return [(entry, by_place.get(entry.place)) for entry in entries]

        return Group(
            ce_id, self.callbacks, pairs(self.copies), pairs(self.receipts), pairs(self.deliveries)
        )


class Grouping:
    """
    Reads all entries once and groups them by their id.

    `has_callback(origin, sequence)`: a callback was added with this sequence; dead letters do not
    count.
    """

    def __init__(
        self,
        rows: EntryRows,
        files: Mapping[Kind, BucketFile],
        has_callback: Callable[[str, int], bool],
    ) -> None:
        self._rows = rows
        self._files = files
        self._has_callback = has_callback
        # By origin, the sequences of the dead letters that were taken as callbacks.
        self._claimed: defaultdict[str, BitMap64] = defaultdict(BitMap64)

    def groups(self) -> Iterator[Group]:
        """
        Yield a group for each id that several sequences share, and for each id with an entry that
        equals no callback.

        An equal entry has the same id, origin, sequence and body.
        """
        for bucket in _buckets_with_rows(self._files.values()):
            large = self._keys_of_many_rows(bucket)
            callback_rows = self._rows_of(Kind.CALLBACK, bucket, large)
            hashes = set(callback_rows[ENTRY_HASH::COLUMNS])
            others: dict[Kind, list[array[int]]] = {
                kind: list(rows_without(self._rows_of(kind, bucket, large), hashes))
                for kind in Kind
                if kind is not Kind.CALLBACK
            }
            yield from self._groups_of(bucket, callback_rows, others)
            for key in large:
                yield LargeGroup(
                    self._rows, self._files, bucket, key, self._claim_as_callback
                ).group()

    def _keys_of_many_rows(self, bucket: int) -> set[int]:
        if sum(file.row_count(bucket) for file in self._files.values()) <= ROWS_OF_ID_MAX:
            return set()
        counts = Counter[int]()
        for file in self._files.values():
            for piece in file.pieces(bucket):
                counts.update(piece[KEY::COLUMNS])
        return {key for key, count in counts.items() if count > ROWS_OF_ID_MAX}

    def _rows_of(self, kind: Kind, bucket: int, but: set[int]) -> "array[int]":
        """Return the rows of a bucket, but not those of some keys."""
        if not but:
            return self._files[kind].rows(bucket)
        rows = array("Q")
        for piece in self._files[kind].pieces(bucket):
            for index in range(0, len(piece), COLUMNS):
                if piece[index + KEY] not in but:
                    rows.extend(piece[index : index + COLUMNS])
        return rows

    def _groups_of(
        self, bucket: int, callback_rows: "array[int]", others: "dict[Kind, list[array[int]]]"
    ) -> Iterator[Group]:
        keys = callback_rows[KEY::COLUMNS]
        wanted = _repeated(keys).union(row[KEY] for rows in others.values() for row in rows)
        if not wanted:
            return
        by_key: defaultdict[int, _Entries] = defaultdict(_Entries)
        for index, key in enumerate(keys):
            if key in wanted:
                row = callback_rows[index * COLUMNS : (index + 1) * COLUMNS]
                by_key[key].callbacks.append(self._rows.entry(row))
        for kind, rows in others.items():
            for row in rows:
                self._add_to_entries(by_key[row[KEY]], kind, self._rows.entry(row))
        for key, entries in by_key.items():
            yield entries.group(self._rows.ce_id(bucket, key, entries.any_entry().rest))

    def _add_to_entries(self, entries: _Entries, kind: Kind, entry: Entry) -> None:
        if kind is Kind.RECEIPT:
            entries.receipts.append(entry)
        elif kind is Kind.DELIVERY:
            entries.deliveries.append(entry)
        elif kind is Kind.DEAD_LETTER and self._claim_as_callback(entry):
            entries.callbacks.append(entry)
        else:
            entries.copies.append(entry)

    def _claim_as_callback(self, dead_letter: Entry) -> bool:
        """
        Take a dead letter as the callback of its sequence; return False if it is only a copy.

        The callback of this dead letter is in no other topic, and this is its first dead letter.
        So a second call for the same dead letter returns False.
        """
        origin, sequence = dead_letter.place
        if self._has_callback(origin, sequence) or sequence in self._claimed[origin]:
            return False
        self._claimed[origin].add(sequence)
        return True


def locations(
    entry_rows: EntryRows, files: Mapping[Kind, BucketFile], places: set[tuple[str, int]]
) -> dict[tuple[str, int], Location]:
    """Return the records in which callbacks were seen first, by origin and sequence."""
    found: dict[tuple[str, int], Location] = {}
    sequences = {sequence for _, sequence in places}
    for bucket in _buckets_with_rows(files.values()) if places else ():
        for kind in (Kind.CALLBACK, Kind.DEAD_LETTER):
            for rows in files[kind].pieces(bucket):
                for index, sequence in enumerate(rows[SEQUENCE::COLUMNS]):
                    if sequence in sequences:
                        entry = entry_rows.entry(rows[index * COLUMNS : (index + 1) * COLUMNS])
                        if entry.place in places:
                            found.setdefault(entry.place, entry.location)
    return found


def _buckets_with_rows(files: Iterable[BucketFile]) -> list[int]:
    return sorted({bucket for file in files for bucket in file.buckets()})


def _repeated(keys: "array[int]") -> set[int]:
    if len(set(keys)) == len(keys):
        return set()
    return {key for key, count in Counter(keys).items() if count > 1}
