"""Decide who may read the statistics: bearers of a token in a file (schemas/tokens_file.py)."""

import hashlib
import hmac
import logging
from pathlib import Path

from schemas.tokens_file import TokensFile, UnusableFile, parse_toml

log = logging.getLogger("stats")

FILE_BYTES_MAX = 1 << 16
TOKENS_MAX = 100
TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX = 16, 256
_SCHEME = "bearer "


class Tokens:
    """The tokens in `file`."""

    def __init__(self, file: Path) -> None:
        """
        Read the file.

        Raises:
            UnusableFile: it cannot be used.
        """
        self._name = str(file)
        self._digests: tuple[bytes, ...] = ()
        self.file = TokensFile(file, self._use, bytes_max=FILE_BYTES_MAX, log=log)

    def allow(self, authorization: str) -> bool:
        """Return whether the value of the header Authorization has one of the tokens."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        given = _digest(authorization[len(_SCHEME) :].strip())
        # Compare all of them, each in constant time.
        matching = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(matching)

    def _use(self, content: bytes) -> str:
        self._digests = parse(content, self._name)
        return ""


def parse(content: bytes, name: str) -> tuple[bytes, ...]:
    """
    Return the digests of the tokens in a file's content: TOML, `reader = "token"` on each line.

    Raises:
        UnusableFile: it is something else.
    """
    named = parse_toml(content, name)
    if not 1 <= len(named) <= TOKENS_MAX:
        raise UnusableFile(f'{name} must have 1 to {TOKENS_MAX} tokens, each as READER = "TOKEN"')
    for reader, token in named.items():
        is_text = isinstance(token, str) and token.isascii() and token.isprintable()
        if not is_text or not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX or " " in token:
            raise UnusableFile(
                f"{name}: the token of {reader!r:.40} must be a text of {TOKEN_LENGTH_MIN} to "
                f"{TOKEN_LENGTH_MAX} ASCII characters without blanks"
            )
    return tuple(map(_digest, named.values()))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
