"""
Find out which archived records are equal to those of the topic, by sums over blocks of offsets.

If all records of a block are archived, and equal, the sums of their entry hashes are equal; so none
of them must be kept. Otherwise all archived records of the block are compared one by one.
"""

from collections import defaultdict
from collections.abc import Iterator

from consumers.runtime.batch import Partition
from ops.audit.entries import BucketRow

# The number of offsets in a block.
BLOCK_OFFSETS = 1024
_64_BITS = (1 << 64) - 1


class _OpenBlock:
    """The archived records of a block that may not be complete."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.sum = 0
        self.rows: list[BucketRow] = []


class BlockSums:
    """The sums of the topic's blocks, and the block that is read in each archived partition."""

    def __init__(self) -> None:
        self._sums: defaultdict[Partition, dict[int, int]] = defaultdict(dict)
        self._open: dict[Partition, _OpenBlock] = {}

    def add_record(self, partition: Partition, offset: int, entry_hash: int) -> None:
        """
        Add a callback of the topic, or one that only the archive has.

        `entry_hash` is of everything that is compared.
        """
        sums, block = self._sums[partition], offset // BLOCK_OFFSETS
        sums[block] = sums.get(block, 0) + entry_hash & _64_BITS

    def add_archived(
        self, partition: Partition, offset: int, entry_hash: int, row: BucketRow
    ) -> list[BucketRow]:
        """Add a record of the archive; return the rows that must be compared, of any record."""
        block, to_compare = offset // BLOCK_OFFSETS, list[BucketRow]()
        open_block = self._open.get(partition)
        if open_block is None or open_block.block != block:
            to_compare = self._close(partition)
            open_block = self._open[partition] = _OpenBlock(block)
        open_block.sum = open_block.sum + entry_hash & _64_BITS
        open_block.rows.append(row)
        return to_compare

    def close_all(self) -> Iterator[BucketRow]:
        """Yield the rows that must be compared. Later records begin blocks of their own."""
        for partition in list(self._open):
            yield from self._close(partition)

    def _close(self, partition: Partition) -> list[BucketRow]:
        closed = self._open.pop(partition, None)
        if closed is None or self._sums[partition].get(closed.block) == closed.sum:
            return []
        return closed.rows
