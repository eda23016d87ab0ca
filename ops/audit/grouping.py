"""
Find the ids that several callbacks have, and the entries that equal no callback.

One bucket is read at a time (bucket_file.py), and what equals a callback is left out at once.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping

from ops.audit.bucket_file import BUCKETS, COLUMNS, BucketFile
from ops.audit.difference import Location
from ops.audit.entries import CHECK, KEY, SEQUENCE, Entry, EntryRows, Group, Kind


class Grouping:
    """
    Reads all entries once and groups them by their id.

    `has_callback(origin, sequence)`: a callback was added with this sequence, beside dead letters.
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
        # Origin and sequence of the dead letters that were yielded as callbacks.
        self._yielded: set[tuple[str, int]] = set()

    def groups(self) -> Iterator[Group]:
        """
        Yield each id that several sequences have, or an entry that equals no callback.

        An equal entry has the same id, origin, sequence and body.
        """
        for bucket in range(BUCKETS):
            firsts = self._files[Kind.FIRST].rows(bucket)
            checks = set(firsts[CHECK::COLUMNS])
            others: dict[Kind, list[array[int]]] = {
                kind: _without(self._files[kind].rows(bucket), checks)
                for kind in Kind
                if kind is not Kind.FIRST
            }
            yield from self._groups_of(bucket, firsts, others)

    def _groups_of(
        self, bucket: int, firsts: "array[int]", others: "dict[Kind, list[array[int]]]"
    ) -> Iterator[Group]:
        keys = firsts[KEY::COLUMNS]
        wanted = _repeated(keys).union(row[KEY] for rows in others.values() for row in rows)
        if not wanted:
            return
        groups: defaultdict[int, Group] = defaultdict(Group)
        for index, key in enumerate(keys):
            if key in wanted:
                row = firsts[index * COLUMNS : (index + 1) * COLUMNS]
                groups[key].callbacks.append(self._rows.entry(row))
        for kind, rows in others.items():
            for row in rows:
                self._add_to_group(groups[row[KEY]], kind, self._rows.entry(row))
        for key, group in groups.items():
            every = (*group.callbacks, *group.copies, *group.rows, *group.deliveries)
            group.ce_id = self._rows.ce_id(bucket, key, every[0].rest)
            yield group

    def _add_to_group(self, group: Group, kind: Kind, entry: Entry) -> None:
        if kind is Kind.ROW:
            group.rows.append(entry)
        elif kind is Kind.DELIVERY:
            group.deliveries.append(entry)
        elif kind is Kind.COPY or entry.place in self._yielded or self._has_callback(*entry.place):
            group.copies.append(entry)
        else:
            # A dead letter of an ingress, which no other topic has.
            self._yielded.add(entry.place)
            group.callbacks.append(entry)


def locations(
    entry_rows: EntryRows, files: Mapping[Kind, BucketFile], places: set[tuple[str, int]]
) -> dict[tuple[str, int], Location]:
    """Return the records in which callbacks were seen first, by origin and sequence."""
    found: dict[tuple[str, int], Location] = {}
    sequences = {sequence for _, sequence in places}
    for bucket in range(BUCKETS if places else 0):
        for kind in (Kind.FIRST, Kind.DEAD_LETTER):
            rows = files[kind].rows(bucket)
            for index, sequence in enumerate(rows[SEQUENCE::COLUMNS]):
                if sequence in sequences:
                    entry = entry_rows.entry(rows[index * COLUMNS : (index + 1) * COLUMNS])
                    if entry.place in places:
                        found.setdefault(entry.place, entry.location)
    return found


def _repeated(keys: "array[int]") -> set[int]:
    if len(set(keys)) == len(keys):
        return set()
    return {key for key, count in Counter(keys).items() if count > 1}


def _without(rows: "array[int]", checks: set[int]) -> "list[array[int]]":
    """Return the rows that are not equal to a callback."""
    if checks.issuperset(of_rows := rows[CHECK::COLUMNS]):
        return []
    return [
        rows[index * COLUMNS : (index + 1) * COLUMNS]
        for index, check in enumerate(of_rows)
        if check not in checks
    ]
