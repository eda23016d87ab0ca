"""
Rows of eight integers in buckets, more than the memory can hold.

Rows beyond a bound are in a temporary file, from which a bucket is read in few large pieces.
"""

import struct
import tempfile
import weakref
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from ops.audit.sources import AuditFailed

# The number of buckets. In an audit of 100 million rows, one takes some 20 MB while it is compared.
BUCKETS = 1024
COLUMNS = 8
# The largest size of the rows that one file has in memory.
BUFFER_BYTES_MAX = 32 << 20
# The rows of a bucket that are read at a time.
PIECE_BYTES_MAX = 1 << 20
_ROW = struct.Struct(f"={COLUMNS}Q")


class BucketFile:
    """Adds rows to buckets, and returns the rows of a bucket in the order in which they came."""

    def __init__(self, *, buffer_bytes_max: int | None = None) -> None:
        self._buffer_bytes_max = buffer_bytes_max or BUFFER_BYTES_MAX
        self._buffers: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._buffered_bytes = 0
        self._file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - closed with this object
        weakref.finalize(self, close, self._file)
        # By bucket, the beginning and the length of each of its pieces in the file.
        self._pieces: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))

    def add(self, bucket: int, *columns: int) -> None:
        """
        Add a row of COLUMNS integers of 64 bits.

        Raises:
            AuditFailed: the directory of temporary files is full, or fails.
        """
        self._buffers[bucket] += _ROW.pack(*columns)
        self._buffered_bytes += _ROW.size
        if self._buffered_bytes >= self._buffer_bytes_max:
            self._write()

    def rows(self, bucket: int) -> "array[int]":
        """
        Return the rows of a bucket, one after the other: COLUMNS integers each.

        Raises:
            AuditFailed: the temporary file cannot be read.
        """
        rows = array("Q")
        for piece in self.pieces(bucket):
            rows.extend(piece)
        return rows

    def pieces(self, bucket: int) -> "Iterator[array[int]]":
        """
        Yield the rows of a bucket in pieces of at most PIECE_BYTES_MAX.

        Raises:
            AuditFailed: the temporary file cannot be read.
        """
        pieces = self._pieces.get(bucket, ())
        for at in range(0, len(pieces), 2):
            end = pieces[at] + pieces[at + 1]
            for begin in range(pieces[at], end, PIECE_BYTES_MAX):
                yield array("Q", self._read(begin, min(PIECE_BYTES_MAX, end - begin)))
        rows = self._buffers.get(bucket, bytearray())
        for begin in range(0, len(rows), PIECE_BYTES_MAX):
            yield array("Q", rows[begin : begin + PIECE_BYTES_MAX])

    def _read(self, begin: int, length: int) -> bytes:
        try:
            self._file.seek(begin)
            return self._file.read(length)
        except OSError as error:
            raise failed(error) from error

    def buckets(self) -> list[int]:
        """Return the buckets that have rows."""
        return sorted(self._pieces.keys() | self._buffers.keys())

    def row_count(self, bucket: int) -> int:
        """Return the number of rows in a bucket."""
        written = sum(self._pieces[bucket][1::2]) if bucket in self._pieces else 0
        return (written + len(self._buffers.get(bucket, b""))) // _ROW.size

    def _write(self) -> None:
        try:
            self._file.rollover()
            end = self._file.seek(0, 2)
            for bucket, rows in self._buffers.items():
                self._file.write(rows)
                self._pieces[bucket].extend((end, len(rows)))
                end += len(rows)
            self._file.flush()
        except OSError as error:
            raise failed(error) from error
        self._buffers.clear()
        self._buffered_bytes = 0


def close(file: IO[bytes]) -> None:
    """Close a temporary file; that it is full is known already."""
    with suppress(OSError):
        file.close()


def failed(error: OSError) -> AuditFailed:
    """Return the failure of the directory of temporary files."""
    return AuditFailed(f"temporary files: {error}; TMPDIR names the directory that they are in")
