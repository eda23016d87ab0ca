"""
Read the logs of a webhook's receiver: a line for each request that it has accepted.

A line is the `webhook-id`, or a JSON object with `id` and, if the receiver notes them, `origin` and
`sequence` (the headers `ce-origin` and `ce-sequence`) and `sha256` of the body.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from ops.audit.sources import AuditFailed, ReadAgain

# A longer line is not one of a receiver.
LOG_LINE_BYTES_MAX = 4096


class LoggedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A request that the receiver has accepted; `origin` and `sequence` are both there or None."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    origin: str | None = None
    sequence: Annotated[int, msgspec.Meta(ge=1)] | None = None
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


class UnreadableDelivery(Exception):
    """A line that is not a delivery; the text says why."""


def delivery(line: bytes) -> LoggedDelivery:
    """
    Return the delivery that a line states.

    Raises:
        UnreadableDelivery: it states none.
    """
    if not line.startswith(b"{"):
        text = line.decode("utf-8", "backslashreplace")
        if not text.isprintable() or " " in text or len(line) > LOG_LINE_BYTES_MAX:
            raise UnreadableDelivery(f"{text!r:.80} is neither a webhook-id nor a JSON object")
        return LoggedDelivery(id=text)
    try:
        logged = msgspec.json.decode(line, type=LoggedDelivery)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableDelivery(f"{line!r:.80} has no delivery: {error}") from error
    if (logged.origin is None) != (logged.sequence is None):
        raise UnreadableDelivery(f"{line!r:.80} has only one of origin and sequence")
    return logged


class LogReader:
    """Reads each line of some files once. `unfinished`: a file ends within a line."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._read_to = dict.fromkeys(files, 0)
        self._ends = dict.fromkeys(files, 0)
        self.unfinished = ""
        self.unreadable = 0
        self.first_unreadable = ""

    def note_ends(self) -> None:
        """
        Note the present ends of the files; the next `read` ends there.

        Raises:
            AuditFailed: a file cannot be read.
            ReadAgain: a file has become shorter than it was.
        """
        for file, read_to in self._read_to.items():
            try:
                self._ends[file] = file.stat().st_size
            except OSError as error:
                raise AuditFailed(f"--webhook: {file} cannot be read ({error})") from error
            if self._ends[file] < read_to:
                raise ReadAgain(f"{file} has become shorter, or is another file now")

    async def read(self, add: Callable[[LoggedDelivery], None]) -> None:
        """
        Pass each new delivery up to the noted ends to `add`, and count unreadable lines.

        Raises:
            AuditFailed: a file cannot be read.
        """
        self.unfinished = ""
        for file in self._read_to:
            try:
                await asyncio.to_thread(self._read_file, file, add)
            except OSError as error:
                raise AuditFailed(f"--webhook: {file} cannot be read ({error})") from error

    def _read_file(self, file: Path, add: Callable[[LoggedDelivery], None]) -> None:
        for line in self._new_lines(file):
            try:
                add(delivery(line))
            except UnreadableDelivery as unreadable:
                self.unreadable += 1
                self.first_unreadable = self.first_unreadable or f"{file}: {unreadable}"

    def _new_lines(self, file: Path) -> Iterator[bytes]:
        with file.open("rb") as opened_file:
            opened_file.seek(self._read_to[file])
            while (unread_bytes := self._ends[file] - self._read_to[file]) > 0:
                line = opened_file.readline(unread_bytes)
                if not line.endswith(b"\n"):
                    self.unfinished = os.fspath(file)
                    return
                self._read_to[file] += len(line)
                if stripped := line.strip():
                    yield stripped
