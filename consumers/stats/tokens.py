"""
Decide who may read the statistics: bearers of a token in a file.

The file is read again when it changes, so a token is rotated without a restart: add the new one,
give it to the reader, remove the old one.
"""

import asyncio
import hashlib
import hmac
import logging
import tomllib
from pathlib import Path

log = logging.getLogger("stats")

REREAD_S = 1.0
FILE_BYTES_MAX = 1 << 16
TOKENS_MAX = 100
TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX = 16, 256
_SCHEME = "bearer "


class UnusableTokens(Exception):
    """The file of tokens cannot be read or is wrong; the text says where, and shows no token."""


class Tokens:
    """
    The tokens in a file.

    `fault` is the reason for which the file's current content is not used, "" if it is used.
    """

    def __init__(self, file: Path) -> None:
        """
        Read the file.

        Raises:
            UnusableTokens: it cannot be used.
        """
        self._file = file
        # The content that is used, and the content that was read last.
        self._content = self._last_read = _read(file)
        self._digests = parse(self._content, str(file))
        self.fault = ""

    def allow(self, authorization: str) -> bool:
        """Return whether the value of the header Authorization has one of the tokens."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        given = _digest(authorization[len(_SCHEME) :].strip())
        # Compare all of them, each in constant time.
        matching = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(matching)

    async def watch(self) -> None:
        """Watch the file until cancelled; while it is unusable, use its last usable content."""
        while True:
            await asyncio.sleep(REREAD_S)
            await self.reread()

    async def reread(self) -> None:
        """Use the file's current content, or set `fault` to the reason why it is unusable."""
        try:
            content = await asyncio.to_thread(_read, self._file)
            # Apply only after two identical reads: the file may be half-written.
            is_complete, self._last_read = content == self._last_read, content
            if not is_complete:
                return
            if content != self._content:
                self._digests = parse(content, str(self._file))
                log.info("the new tokens in %s are used from now on", self._file)
        except UnusableTokens as unusable:
            if str(unusable) != self.fault:
                log.error("%s; the tokens read before stay valid", unusable)  # noqa: TRY400
            self.fault = str(unusable)
            return
        self._content, self.fault = content, ""


def parse(content: bytes, name: str) -> tuple[bytes, ...]:
    """
    Return the digests of the tokens in a file's content: TOML, `reader = "token"` on each line.

    Raises:
        UnusableTokens: it is something else.
    """
    try:
        named = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # Show the place only: the parser's message may quote a token.
        where = str(error).rpartition("(")[2].rstrip(")")
        raise UnusableTokens(f"{name} is not valid TOML ({where})") from None
    if not 1 <= len(named) <= TOKENS_MAX:
        raise UnusableTokens(f'{name} must have 1 to {TOKENS_MAX} tokens, each as READER = "TOKEN"')
    for reader, token in named.items():
        is_text = isinstance(token, str) and token.isascii() and token.isprintable()
        if not is_text or not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX or " " in token:
            raise UnusableTokens(
                f"{name}: the token of {reader!r:.40} must be a text of {TOKEN_LENGTH_MIN} to "
                f"{TOKEN_LENGTH_MAX} ASCII characters without blanks"
            )
    return tuple(map(_digest, named.values()))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UnusableTokens(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise UnusableTokens(f"{file} is larger than {FILE_BYTES_MAX} bytes")
    return content
