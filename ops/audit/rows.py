"""Check that the database's rows are the callbacks that were stored. Pure."""

from ops.audit.contents import ROW, ROW_MATCHES, Contents, Difference, Place

# At most so many rows are remembered that differ from the callbacks of their id seen so far.
OTHERS_MAX = 1000
ROWS = "PostgreSQL"


class Rows:
    """
    Compares each row with the callbacks of its `ce_id`.

    A message may be repeated with other bytes; the row has the bytes of one of its places.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        # Ids that have a row, and those whose row is one of the callbacks with that id.
        self._rows = self._matching = 0
        # Receipts with an id that is not that of the callback at their place.
        self._strange = 0
        self._others: dict[str, tuple[str, int]] = {}

    def forget(self) -> None:
        """Forget the receipts, before all are read again."""
        self._strange = 0

    def see(self, ce_id: str, sha256: bytes, origin: str, sequence: int) -> None:
        """Compare the row that belongs to a receipt with what was seen at that place."""
        matches = self._contents.row_matches(sha256, origin, sequence)
        if matches is None:
            return  # Kafka and the archive do not have it: it is missing there, or has expired
        if not self._contents.is_of(ce_id, origin, sequence):
            self._strange += 1
            self._remember(ce_id, origin, sequence)
            return
        self._rows += self._contents.mark(ce_id, ROW)
        if matches:
            self._matching += self._contents.mark(ce_id, ROW_MATCHES)
            self._others.pop(ce_id, None)
        elif not self._contents.is_marked(ce_id, ROW_MATCHES):
            self._remember(ce_id, origin, sequence)

    def _remember(self, ce_id: str, origin: str, sequence: int) -> None:
        if len(self._others) < OTHERS_MAX:
            self._others[ce_id] = (origin, sequence)

    @property
    def different(self) -> int:
        """The number of rows and receipts that differ from the callback at their place."""
        return self._rows - self._matching + self._strange

    def listed(self) -> list[Difference]:
        """Return some of them."""
        return [
            Difference(
                ce_id,
                self._contents.place(*place),
                Place(*place, topic=ROWS, partition=-1, offset=-1),
            )
            for ce_id, place in self._others.items()
        ]
