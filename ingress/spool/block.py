"""
Rows of one commit as one value of LMDB, so that many rows cost one call.

py-lmdb releases Python's lock in every call and must get it back from a busy event loop, so calls
cost more than bytes. A block begins with a checksum, the number of its rows and their lengths. Each
row has a checksum of its own (row.py), so that damage costs a row and not the block.
"""

import struct
from collections.abc import Iterator, Sequence

from ingress.spool.row import CHECKSUM_BYTES, DamagedRow, add_checksums, checksum

# A larger value needs more contiguous pages, which a fragmented file does not have.
BLOCK_BYTES_MAX = 64 << 10
BLOCK_ROWS_MAX = 256
# The size of a number in the head of a block.
_U32 = 4


def split_into_blocks(contents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the contents in order, as many at a time as fit into a block, at least one."""
    begin = size = 0
    for index, content in enumerate(contents):
        if index > begin and (
            size + len(content) > BLOCK_BYTES_MAX or index - begin >= BLOCK_ROWS_MAX
        ):
            yield contents[begin:index]
            begin, size = index, 0
        size += len(content)
    if contents:
        yield contents[begin:]


def pack(contents: Sequence[bytes], spool_name: str, first_number: int) -> bytes:
    """Return the block of rows numbered from `first_number` in the spool `spool_name`."""
    rows = add_checksums(contents, spool_name, first_number)
    head = struct.pack(f">{len(rows) + 1}I", len(rows), *map(len, rows))
    return b"".join((_checksum(head, spool_name, first_number), head, *rows))


def unpack(block: bytes, spool_name: str, first_number: int) -> list[bytes]:
    """
    Return the rows of a block, each as it was stored; they are not checked yet.

    Raises:
        DamagedRow: the head of the block is damaged, so it is not known where its rows are.
    """
    lengths_begin = CHECKSUM_BYTES + _U32
    count = int.from_bytes(block[CHECKSUM_BYTES:lengths_begin], "big")
    head = block[CHECKSUM_BYTES : lengths_begin + count * _U32]
    if (
        block[:CHECKSUM_BYTES] != _checksum(head, spool_name, first_number)
        or len(head) != (1 + count) * _U32
    ):
        raise DamagedRow(
            f"the block of spool {spool_name} that begins at row {first_number} is damaged",
            first_number,
        )
    rows = []
    row_begin = CHECKSUM_BYTES + len(head)
    for size in struct.unpack(f">{count}I", head[_U32:]):
        rows.append(block[row_begin : row_begin + size])
        row_begin += size
    return rows


def _checksum(head: bytes, spool_name: str, first_number: int) -> bytes:
    return checksum(b"block %s/%d" % (spool_name.encode(), first_number), head)
