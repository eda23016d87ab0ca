"""
Rows of eight integers in buckets, more than the memory can hold.

Rows beyond a bound are in a temporary file, from which a bucket is read in few large pieces.
"""

import struct
import tempfile
import weakref
from array import array
from collections import defaultdict

from ops.audit.sources import AuditFailed

# The number of buckets. A bucket of 100 million rows takes some 20 MB while it is compared.
BUCKETS = 1024
COLUMNS = 8
# The largest size of the rows that one file has in memory.
BUFFER_BYTES_MAX = 32 << 20
_ROW = struct.Struct(f"={COLUMNS}Q")


class BucketFile:
    """Adds rows to buckets, and returns the rows of a bucket in the order in which they came."""

    def __init__(self) -> None:
        self._buffers: defaultdict[int, bytearray] = defaultdict(bytearray)
        self._buffered_bytes = 0
        self._file = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
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
        if self._buffered_bytes >= BUFFER_BYTES_MAX:
            self._write()

    def rows(self, bucket: int) -> "array[int]":
        """
        Return the rows of a bucket, one after the other: COLUMNS integers each.

        Raises:
            AuditFailed: the temporary file cannot be read.
        """
        rows = array("Q")
        pieces = self._pieces.get(bucket, ())
        try:
            for at in range(0, len(pieces), 2):
                self._file.seek(pieces[at])
                rows.frombytes(self._file.read(pieces[at + 1]))
        except OSError as error:
            raise _failed(error) from error
        rows.frombytes(self._buffers.get(bucket, b""))
        return rows

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
            raise _failed(error) from error
        self._buffers.clear()
        self._buffered_bytes = 0


def _failed(error: OSError) -> AuditFailed:
    return AuditFailed(f"temporary files: {error}; TMPDIR names the directory that they are in")
