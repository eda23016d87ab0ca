"""
Rows of one commit as one value of LMDB, so that many rows cost one call.

py-lmdb releases Python's lock in every call and must get it back from a busy event loop, so calls
cost more than bytes. A block begins with a checksum, the number of its rows and their lengths. Each
row has a checksum of its own (row.py), so that damage costs a row and not the block.
"""

import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

from ingress.spool.row import DamagedRow, seal

# A larger value needs more contiguous pages, which a fragmented file does not have.
BYTES_MAX = 64 << 10
ROWS_MAX = 256
_U32 = 4


def split(contents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the contents in order, as many at a time as fit into a block, at least one."""
    begin = size = 0
    for index, content in enumerate(contents):
        if index > begin and (size + len(content) > BYTES_MAX or index - begin >= ROWS_MAX):
            yield contents[begin:index]
            begin, size = index, 0
        size += len(content)
    if contents:
        yield contents[begin:]


def pack(contents: Sequence[bytes], spool: str, first: int) -> bytes:
    """Return the block of rows numbered from `first` in the file `spool`."""
    rows = seal(contents, spool, first)
    head = struct.pack(f">{len(rows) + 1}I", len(rows), *map(len, rows))
    return b"".join((_checksum(head, spool, first), head, *rows))


def unpack(stored: bytes, spool: str, first: int) -> list[bytes]:
    """
    Return the rows of a block, each as it was sealed; they are not checked yet.

    Raises:
        DamagedRow: the head of the block is damaged, so it is not known where its rows are.
    """
    count = int.from_bytes(stored[_U32 : 2 * _U32], "big")
    head = stored[_U32 : (2 + count) * _U32]
    if stored[:_U32] != _checksum(head, spool, first) or len(head) != (1 + count) * _U32:
        raise DamagedRow(f"the block of spool {spool} that begins at row {first} is damaged", first)
    rows = []
    at = _U32 + len(head)
    for size in struct.unpack(f">{count}I", head[_U32:]):
        rows.append(stored[at : at + size])
        at += size
    return rows


def _checksum(head: bytes, spool: str, first: int) -> bytes:
    place = b"block %s/%d" % (spool.encode(), first)
    return crc32(head, crc32(place)).to_bytes(_U32, "big")
