"""Compare the rows in PostgreSQL with the callbacks in Kafka and the archive. Does no I/O."""

from ops.audit.contents import ROW, ROW_MATCHES, Contents, Difference, Location

# The maximum number of kept rows that match no callback of their id yet.
UNMATCHED_MAX = 1000
POSTGRESQL = "PostgreSQL"


class RowCheck:
    """
    Compares each receipt, with the digest of its row, with the callback of its sequence.

    A message may be repeated with other bytes: then the row must have the bytes of one repeat.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        # The number of ids that have a row, and of those whose row has the body of a callback.
        self._rows = self._matching = 0
        # The number of receipts whose id is not that of the callback with their sequence.
        self._wrong_ids = 0
        self._unmatched: dict[str, tuple[str, int]] = {}

    def forget(self) -> None:
        """
        Forget the receipts, before all are read again.

        The marks of ids stay, and with them `_rows` and `_matching`: a mark is set once for each
        id, so a row that is read again is not counted again.
        """
        self._wrong_ids = 0

    def compare(self, ce_id: str, sha256: bytes, origin: str, sequence: int) -> None:
        """Compare a receipt and its row with the callback that has the same sequence."""
        matches = self._contents.row_matches(sha256, origin, sequence)
        if matches is None:
            return  # its callback is neither in Kafka nor archived: missing there, or expired
        if not self._contents.is_of(ce_id, origin, sequence):
            self._wrong_ids += 1
            self._keep(ce_id, origin, sequence)
            return
        self._rows += self._contents.mark(ce_id, ROW)
        if matches:
            self._matching += self._contents.mark(ce_id, ROW_MATCHES)
            self._unmatched.pop(ce_id, None)
        elif not self._contents.is_marked(ce_id, ROW_MATCHES):
            self._keep(ce_id, origin, sequence)

    def _keep(self, ce_id: str, origin: str, sequence: int) -> None:
        if len(self._unmatched) < UNMATCHED_MAX:
            self._unmatched[ce_id] = (origin, sequence)

    @property
    def different(self) -> int:
        """The number of rows and receipts that differ from their callback."""
        return self._rows - self._matching + self._wrong_ids

    def listed(self) -> list[Difference]:
        """Return some of the differences."""
        return [
            Difference(
                ce_id,
                self._contents.location(*place),
                Location(*place, topic=POSTGRESQL, partition=-1, offset=-1),
            )
            for ce_id, place in self._unmatched.items()
        ]
