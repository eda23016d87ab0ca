"""Texts in a temporary file: ids that are not 128 bits in hex."""

import tempfile
import weakref

from ops.audit.bucket_file import close, failed

# The texts in memory of one file.
TEXT_BYTES_MAX = 1 << 20


class TextFile:
    """Adds texts, and returns each of them by its position."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed with this object
            max_size=TEXT_BYTES_MAX
        )
        weakref.finalize(self, close, self._file)

    def add(self, text: str) -> int:
        """
        Add a text; return its position.

        Raises:
            AuditFailed: the directory of temporary files is full, or fails.
        """
        encoded = text.encode()
        try:
            position = self._file.seek(0, 2)
            self._file.write(len(encoded).to_bytes(4, "big") + encoded)
        except OSError as error:
            raise failed(error) from error
        return position

    def text(self, position: int) -> str:
        """
        Return the text at a position.

        Raises:
            AuditFailed: the temporary file cannot be written or read.
        """
        try:
            self._file.seek(position)
            return self._file.read(int.from_bytes(self._file.read(4), "big")).decode()
        except OSError as error:
            raise failed(error) from error
