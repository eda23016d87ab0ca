"""
Find every `ce_id`, and every (origin, sequence), that has two different contents.

All copies of one sequence, in the topics and in the archive, must have the same `ce_id` and a body
of the same bytes. All callbacks of one `ce_id` must have the same content, which
schemas/identity.py defines.

Bodies are not kept, only digests of 64 bits. Each callback, and each further copy of it, is a row
in a bucket that its `ce_id` chooses (bucket_file.py). So the memory has one bucket at a time, and
all rows of one `ce_id` are in it. `groups` leaves out everything that needs no closer look: a
callback whose `ce_id` is there once, and a copy that is equal to its callback.
"""

from collections import defaultdict
from collections.abc import Iterator

from pyroaring import BitMap64

from consumers.runtime.batch import Partition
from ops.audit.block_sums import BlockSums
from ops.audit.bucket_file import BucketFile
from ops.audit.difference import Location
from ops.audit.entries import ENTRY_HASH, EntryRows, Kind
from ops.audit.group import Group
from ops.audit.grouping import Grouping, locations


class Contents:
    """The callbacks, with the digests of their bodies and contents, and the copies of them."""

    def __init__(self) -> None:
        self._rows = EntryRows()
        self._files = {kind: BucketFile() for kind in Kind}
        self._block_sums = BlockSums()
        # By origin, the sequences of callbacks, and of dead letters.
        self._sequences: defaultdict[str, BitMap64] = defaultdict(BitMap64)
        self._dead_letters: defaultdict[str, BitMap64] = defaultdict(BitMap64)

    def has(self, origin: str, sequence: int) -> bool:
        """Return whether a callback or a dead letter was added with this sequence."""
        return self.has_callback(origin, sequence) or (
            origin in self._dead_letters and sequence in self._dead_letters[origin]
        )

    def has_callback(self, origin: str, sequence: int) -> bool:
        """Return whether a callback was added with this sequence."""
        return origin in self._sequences and sequence in self._sequences[origin]

    def add(
        self,
        ce_id: str,
        body_sha256: bytes,
        location: Location,
        content_digest: bytes,
        key_number: int,
    ) -> None:
        """
        Add a callback; none with its sequence was added before.

        All callbacks of one `ce_id` must have one `content_digest` (schemas/identity.py).
        `key_number` is that of its `CountKey`.
        """
        self._sequences[location.origin].add(location.sequence)
        entry_hash = self._add(
            Kind.CALLBACK,
            ce_id,
            body_sha256,
            location,
            content_digest=content_digest,
            key_or_webhook=key_number,
        )
        self._note(location, entry_hash)

    def add_copy(self, ce_id: str, body_sha256: bytes, location: Location) -> None:
        """Add a copy of a callback that was added, in the topic."""
        self._note(location, self._add(Kind.COPY, ce_id, body_sha256, location))

    def _note(self, location: Location, entry_hash: int) -> None:
        partition = Partition(location.topic, location.partition)
        self._block_sums.add_record(partition, location.offset, entry_hash)

    def add_archived_copy(self, ce_id: str, body_sha256: bytes, location: Location) -> None:
        """Add a copy of a callback that was added, in the archive, in the order of offsets."""
        row = self._rows.bucket_row(ce_id, body_sha256, location)
        partition = Partition(location.topic, location.partition)
        for to_compare in self._block_sums.add_archived(
            partition, location.offset, row[1 + ENTRY_HASH], row
        ):
            self._files[Kind.COPY].add(*to_compare)

    def add_dead_letter(
        self, ce_id: str, body_sha256: bytes, location: Location, content_digest: bytes
    ) -> None:
        """Add a dead letter: a copy of a callback that may come later, or the callback itself."""
        self._dead_letters[location.origin].add(location.sequence)
        self._add(Kind.DEAD_LETTER, ce_id, body_sha256, location, content_digest=content_digest)

    def add_receipt(
        self, ce_id: str, body_sha256: bytes | None, origin: str, sequence: int
    ) -> None:
        """Add a receipt of the database, with the digest of its row; None: not to be compared."""
        location = Location(origin, sequence, "", 0, 0)
        self._add(Kind.RECEIPT, ce_id, body_sha256, location)

    def forget_receipts(self) -> None:
        """Forget the receipts, before they are read again."""
        self._files[Kind.RECEIPT] = BucketFile()
        self._rows.forget_texts_of_receipts()

    def add_delivery(
        self,
        ce_id: str,
        body_sha256: bytes | None,
        place: tuple[str, int] | None,
        webhook_number: int,
    ) -> None:
        """Add a delivery to a webhook; a digest or place that the log does not have is None."""
        location = Location(*(place or ("", 0)), "", 0, 0)
        self._add(Kind.DELIVERY, ce_id, body_sha256, location, key_or_webhook=webhook_number)

    def _add(
        self,
        kind: Kind,
        ce_id: str,
        body_sha256: bytes | None,
        location: Location,
        *,
        content_digest: bytes = b"",
        key_or_webhook: int = 0,
    ) -> int:
        """Add a row; return the hash of its entry."""
        row = self._rows.bucket_row(
            ce_id,
            body_sha256,
            location,
            content_digest=content_digest,
            key_or_webhook=key_or_webhook,
            is_receipt=kind is Kind.RECEIPT,
        )
        self._files[kind].add(*row)
        return row[1 + ENTRY_HASH]

    def groups(self) -> Iterator[Group]:
        """
        Yield a group for each id that several sequences share, and for each id with an entry that
        equals no callback.

        An equal entry has the same id, origin, sequence and body.
        """
        for row in self._block_sums.close_all():
            self._files[Kind.COPY].add(*row)
        return Grouping(self._rows, self._files, self.has_callback).groups()

    def locations(self, places: set[tuple[str, int]]) -> dict[tuple[str, int], Location]:
        """Return the records in which callbacks were seen first, by origin and sequence."""
        return locations(self._rows, self._files, places)
