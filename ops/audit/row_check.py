"""Compare the rows in PostgreSQL with the callbacks in Kafka and the archive. Does no I/O."""

from ops.audit.contents import Contents
from ops.audit.difference import Differences, Location
from ops.audit.entries import Entry
from ops.audit.group import Group

POSTGRESQL = "PostgreSQL"


class RowCheck:
    """
    Compares the receipts that do not equal the callback of their sequence.

    A message may be repeated with other bytes: then the row must have the bytes of one repeat.
    """

    def __init__(self, contents: Contents, differences: Differences) -> None:
        self._contents = contents
        self._differences = differences

    def compare(self, group: Group) -> None:
        """Compare the receipts of one id, and the row that they share."""
        digests = group.common_digests(group.rows)
        changed: tuple[Entry, Entry] | None = None
        for row, callback in group.rows:
            if callback is not None:
                if row.digest not in digests:
                    changed = changed or (row, callback)
            elif self._contents.has(*row.place):
                # The callback with this sequence has another id.
                self._differences.add(group.ce_id, None, _location(row))
            # Otherwise the callback is neither in Kafka nor archived: missing there, or expired.
        if changed is not None:
            row, callback = changed
            self._differences.add(group.ce_id, callback.location, _location(row))


def _location(row: Entry) -> Location:
    return Location(*row.place, topic=POSTGRESQL, partition=-1, offset=-1)
