"""
Decide whether a request is authentic.

It is authentic if its app is one of ours and, if that app has tokens, it is signed with one of
them. The tokens file is read again when it changes, so a token is rotated without a restart: add
the new token to the file, change it in TIM's console, remove the old one from the file.
"""

import hashlib
import hmac
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from ingress.http import answers
from ingress.http.answers import Answer
from schemas.setting import is_sdkappid
from schemas.tokens_file import TokensFile, UnusableFile, parse_toml

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1 << 20
TOKENS_MAX = 4

Tokens = Mapping[str, tuple[bytes, ...]]


class Authenticator:
    """Checks requests against our apps and the tokens in `file`, None if there is no file."""

    def __init__(
        self, sdkappids: Iterable[str], tokens_file: Path | None, *, sign_window_s: float
    ) -> None:
        self._sdkappids = tuple(sdkappids)
        self._name = str(tokens_file)
        self._sign_window_s = sign_window_s
        self._tokens = self._of_all_apps({})
        self.file = (
            TokensFile(tokens_file, self._use, bytes_max=FILE_BYTES_MAX, log=log)
            if tokens_file
            else None
        )

    @property
    def fault(self) -> str:
        """The reason for which the file's current content is not used, "" if it is used."""
        return self.file.fault if self.file else ""

    def refusal(self, parameters: Mapping[str, str], now_s: float) -> Answer | None:
        """Return the answer to a request that is not authentic, None if it is authentic."""
        tokens = self._tokens.get(parameters.get("SdkAppid", ""))
        if tokens is None:
            return answers.NOT_OURS
        if not tokens:
            return None
        sign, requested_at = parameters.get("Sign", ""), parameters.get("RequestTime", "")
        if not sign or not requested_at:
            return answers.UNSIGNED
        if not _matches(tokens, sign, requested_at):
            return answers.WRONG_SIGN
        if abs(now_s - _seconds(requested_at)) > self._sign_window_s:
            return answers.STALE
        return None

    def _use(self, content: bytes) -> str:
        in_file = parse(content, self._name)
        self._check_no_app_is_lost(in_file)
        self._tokens = self._of_all_apps(in_file)
        return f"; apps: {', '.join(sorted(self._tokens))}"

    def _check_no_app_is_lost(self, in_file: Tokens) -> None:
        """
        Check that the file still names every configured app that has tokens now.

        Raises:
            UnusableFile: it does not, as when the file is emptied by mistake.
        """
        for sdkappid in self._sdkappids:
            if self._tokens[sdkappid] and sdkappid not in in_file:
                raise UnusableFile(
                    f"{self._name}: app {sdkappid} had tokens and is no longer in the file; if its "
                    f"callbacks need no Sign, write {sdkappid} = []"
                )

    def _of_all_apps(self, in_file: Tokens) -> Tokens:
        """Return the tokens of the apps in the file, and none for the other configured apps."""
        return {**dict.fromkeys(self._sdkappids, ()), **in_file}


def parse(content: bytes, name: str) -> dict[str, tuple[bytes, ...]]:
    """
    Return the tokens of each app in a file's content: TOML, `1400000001 = ["token", "old token"]`.

    Raises:
        UnusableFile: it is something else.
    """
    apps = parse_toml(content, name)
    tokens: dict[str, tuple[bytes, ...]] = {}
    for sdkappid, listed in apps.items():
        if not is_sdkappid(sdkappid):
            raise UnusableFile(
                f"{name}: {sdkappid!r:.40} is not an SdkAppid (a decimal number without leading "
                "zeros)"
            )
        if (
            not isinstance(listed, list)
            or len(listed) > TOKENS_MAX
            or not all(isinstance(token, str) and token for token in listed)
        ):
            raise UnusableFile(
                f"{name}: {sdkappid} must have a list of at most {TOKENS_MAX} tokens, none empty"
            )
        tokens[sdkappid] = tuple(token.encode() for token in listed)
    return tokens


def _matches(tokens: Iterable[bytes], sign: str, requested_at: str) -> bool:
    given = sign.lower().encode("utf-8", "replace")
    time = requested_at.encode("utf-8", "replace")
    # Compare all of them, each in constant time.
    matching = [
        hmac.compare_digest(hashlib.sha256(token + time).hexdigest().encode(), given)
        for token in tokens
    ]
    return any(matching)


def _seconds(requested_at: str) -> float:
    is_time = requested_at.isascii() and requested_at.isdigit() and len(requested_at) < 16
    return int(requested_at) if is_time else -math.inf
