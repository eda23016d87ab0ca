"""Compare the rows in PostgreSQL with the callbacks in Kafka and the archive. Does no I/O."""

from ops.audit.contents import Contents
from ops.audit.difference import Differences, Location
from ops.audit.entries import Entry
from ops.audit.group import Group


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
        digests = group.common_digests(group.receipts)
        changed: tuple[Entry, Entry] | None = None
        for receipt, callback in group.receipts:
            if callback is not None:
                if receipt.body_digest and receipt.body_digest not in digests:
                    changed = changed or (receipt, callback)
            elif self._contents.has(*receipt.place):
                # The callback with this sequence has another id.
                self._differences.add(group.ce_id, None, _location(receipt))
            # Otherwise the callback is neither in Kafka nor archived: missing there, or expired.
        if changed is not None:
            receipt, callback = changed
            self._differences.add(group.ce_id, callback.location, _location(receipt))


def _location(receipt: Entry) -> Location:
    return Location(*receipt.place, topic="PostgreSQL", partition=-1, offset=-1)
