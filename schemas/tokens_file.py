"""A file of tokens or secrets, read again when it changes: they are rotated without a restart."""

import asyncio
import logging
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

READ_INTERVAL_S = 1.0


class UnusableFile(Exception):
    """The file cannot be read or is wrong; the text says where, and shows no token or secret."""


class TokensFile:
    """
    Keeps the tokens or secrets in a file in use.

    `use` takes the file's content from now on and returns what the log adds about it, or raises
    UnusableFile; any other exception counts as one, too.

    `fault` is the reason for which the current content is not used, "" if it is used.
    """

    def __init__(
        self, file: Path, use: Callable[[bytes], str], *, bytes_max: int, log: logging.Logger
    ) -> None:
        """
        Read the file and use it.

        Raises:
            UnusableFile: it cannot be used.
        """
        self._file = file
        self._use = use
        self._bytes_max = bytes_max
        self._log = log
        # The content that is used, and the content that was read last.
        self._content = self._last_read = self._read()
        self._use_content(self._content)
        self.fault = ""

    async def watch(self) -> None:
        """Watch the file until cancelled; while it is unusable, use its last usable content."""
        while True:
            await asyncio.sleep(READ_INTERVAL_S)
            await self.reread()

    async def reread(self) -> None:
        """Use the file's current content, or set `fault` to the reason why it is unusable."""
        try:
            content = await asyncio.to_thread(self._read)
            # Apply only after two identical reads: the file may be half-written.
            is_complete, self._last_read = content == self._last_read, content
            if not is_complete:
                return
            if content != self._content:
                about = self._use_content(content)
                self._log.info("the new content of %s is used from now on%s", self._file, about)
        except UnusableFile as unusable:
            if str(unusable) != self.fault:
                self._log.error("%s; its content that was read before stays valid", unusable)
            self.fault = str(unusable)
            return
        self._content, self.fault = content, ""

    def _use_content(self, content: bytes) -> str:
        try:
            return self._use(content)
        except UnusableFile:
            raise
        except Exception as error:  # noqa: BLE001
            # Nothing may end `watch`: a rotated token would never be used, without any log line.
            # The exception's text is not shown, because it may quote a token.
            raise UnusableFile(f"{self._file} cannot be used: {type(error).__name__}") from None

    def _read(self) -> bytes:
        try:
            with self._file.open("rb") as opened_file:
                content = opened_file.read(self._bytes_max + 1)
        except OSError as error:
            raise UnusableFile(f"{self._file} cannot be read: {error.strerror}") from error
        if len(content) > self._bytes_max:
            raise UnusableFile(f"{self._file} is larger than {self._bytes_max} bytes")
        return content


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """
    Return a file's content as TOML.

    Raises:
        UnusableFile: it is something else.
    """
    try:
        return tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # Show the place only: the parser's message may quote a token or secret.
        position = str(error).rpartition("(")[2].rstrip(")")
        raise UnusableFile(f"{name} is not valid TOML ({position})") from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or thousands of open brackets.
        raise UnusableFile(f"{name} has a number or a list that no tokens file needs") from None
