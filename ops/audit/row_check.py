"""Compare the rows in PostgreSQL with the callbacks in Kafka and the archive. Does no I/O."""

from ops.audit.contents import Contents
from ops.audit.difference import Differences, Location
from ops.audit.entries import Entry, Group

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
        by_place = {callback.place: callback for callback in group.callbacks}
        digests = {callback.digest for callback in group.callbacks}
        changed: Entry | None = None
        for row in group.rows:
            if row.place in by_place:
                if row.digest not in digests:
                    changed = changed or row
            elif self._contents.has(*row.place):
                # The callback with this sequence has another id.
                self._differences.add(group.ce_id, None, _location(row))
            # Otherwise the callback is neither in Kafka nor archived: missing there, or expired.
        if changed is not None:
            first = by_place[changed.place].location
            self._differences.add(group.ce_id, first, _location(changed))


def _location(row: Entry) -> Location:
    return Location(*row.place, topic=POSTGRESQL, partition=-1, offset=-1)
