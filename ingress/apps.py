"""
Whose callbacks are taken: our apps, and the tokens that they sign with (protocol §3).

The tokens are in a file that is read again when it changes, so a token is rotated without a
restart: add the new one, change it in the console, take the old one out.
"""

import asyncio
import hashlib
import hmac
import logging
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ingress.http import answers as refusals
from ingress.http.answers import Answer

log = logging.getLogger(__name__)

REREAD_S = 1.0
FILE_BYTES_MAX = 1 << 20
TOKENS_MAX = 4

Tokens = Mapping[str, tuple[bytes, ...]]


class Unusable(Exception):
    """The file of tokens cannot be read or is wrong; the text says where, and shows no token."""


class Apps:
    """Which callbacks are authentic. `fault` says why the file's last state is not in force."""

    def __init__(
        self, sdkappids: Iterable[str], secrets_file: Path | None, *, sign_window_s: float
    ) -> None:
        self._sdkappids = tuple(sdkappids)
        self._file = secrets_file
        self._sign_window_s = sign_window_s
        self._content = self._seen = _read(secrets_file) if secrets_file else b""
        self._tokens = self._all(self._content)
        self.fault = ""

    def refusal(self, parameters: Mapping[str, str], now_s: float) -> Answer | None:
        """Return why a request with these parameters is not authentic, None if it is."""
        tokens = self._tokens.get(parameters.get("SdkAppid", ""))
        if tokens is None:
            return refusals.NOT_OURS
        if not tokens:
            return None
        sign, requested_at = parameters.get("Sign", ""), parameters.get("RequestTime", "")
        if not sign or not requested_at:
            return refusals.UNSIGNED
        if not _matches(tokens, sign, requested_at):
            return refusals.WRONG_SIGN
        if abs(now_s - _seconds(requested_at)) > self._sign_window_s:
            return refusals.STALE
        return None

    async def watch(self) -> None:
        """Follow the file until cancelled; while it cannot be used, what was read before holds."""
        if self._file is None:
            return
        while True:
            await asyncio.sleep(REREAD_S)
            await self.reread(self._file)

    async def reread(self, file: Path) -> None:
        """Put the file in force once it was read twice, or say in `fault` why that cannot be."""
        try:
            content = await asyncio.to_thread(_read, file)
            # Twice the same: whoever writes it may be in the middle of it.
            settled, self._seen = content == self._seen, content
            if not settled:
                return
            if content != self._content:
                self._tokens = self._successor(self._all(content))
                log.info("%s was read again; apps: %s", file, ", ".join(sorted(self._tokens)))
        except Unusable as unusable:
            if str(unusable) != self.fault:
                log.error("%s; what was read before still holds", unusable)  # noqa: TRY400
            self.fault = str(unusable)
            return
        self._content, self.fault = content, ""

    def _successor(self, tokens: Tokens) -> Tokens:
        for sdkappid in self._sdkappids:
            if self._tokens[sdkappid] and not tokens[sdkappid] and sdkappid not in self._named:
                raise Unusable(
                    f"{self._file}: {sdkappid} had tokens and is not named any more; if its "
                    f"callbacks need no Sign, write {sdkappid} = []"
                )
        return tokens

    def _all(self, content: bytes) -> Tokens:
        named = parse(content, str(self._file))
        self._named = frozenset(named)
        return dict.fromkeys(self._sdkappids, ()) | named


def parse(content: bytes, name: str) -> dict[str, tuple[bytes, ...]]:
    """
    Return the tokens of each app in a file's content: TOML, `1400000001 = ["token", "old token"]`.

    Raises:
        Unusable: it is something else.
    """
    try:
        apps = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # An error of TOML may quote a token.
        where = str(error).rpartition("(")[2].rstrip(")")
        raise Unusable(f"{name} is no TOML ({where})") from None
    tokens: dict[str, tuple[bytes, ...]] = {}
    for sdkappid, listed in apps.items():
        if not (sdkappid.isascii() and sdkappid.isdigit()):
            raise Unusable(f"{name}: {sdkappid!r:.40} is no SdkAppid, a decimal number")
        if (
            not isinstance(listed, list)
            or len(listed) > TOKENS_MAX
            or not all(isinstance(token, str) and token for token in listed)
        ):
            raise Unusable(
                f"{name}: {sdkappid} must have a list of at most {TOKENS_MAX} tokens, none empty"
            )
        tokens[sdkappid] = tuple(token.encode() for token in listed)
    return tokens


def _matches(tokens: Iterable[bytes], sign: str, requested_at: str) -> bool:
    given = sign.lower().encode("utf-8", "replace")
    time = requested_at.encode("utf-8", "replace")
    # All are compared, each in constant time.
    matching = [
        hmac.compare_digest(hashlib.sha256(token + time).hexdigest().encode(), given)
        for token in tokens
    ]
    return any(matching)


def _seconds(requested_at: str) -> float:
    is_time = requested_at.isascii() and requested_at.isdigit() and len(requested_at) < 16
    return int(requested_at) if is_time else -math.inf


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise Unusable(f"{file} is larger than {FILE_BYTES_MAX} bytes")
    return content
