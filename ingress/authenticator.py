"""
Decide whether a request is authentic.

It is authentic if its app is one of ours and, if that app has tokens, it is signed with one of
them. The tokens file is read again when it changes, so a token is rotated without a restart: add
the new token to the file, change it in TIM's console, remove the old one from the file.
"""

import hashlib
import hmac
import itertools
import logging
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ingress.http import answers
from ingress.http.answers import Answer
from ingress.token import Token
from schemas.setting import is_sdkappid
from schemas.tokens_file import TokensFile, UnusableFile, parse_toml

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 1 << 20
TOKENS_MAX = 4

# Rows of /status; docs/monitoring.md.
TOKENS_SHOWN_MAX = 1000

Tokens = Mapping[str, tuple[Token, ...]]


class Authenticator:
    """
    Checks requests by our apps and, if there is a tokens file, by the tokens in it.

    `file` is that file, None if there is none.
    """

    def __init__(
        self, sdkappids: Iterable[str], tokens_file: Path | None, *, sign_window_s: float
    ) -> None:
        self._sdkappids = tuple(sdkappids)
        self._name = str(tokens_file)
        self._sign_window_s = sign_window_s
        self._tokens = self._of_all_apps({})
        # Configured apps that the tokens file, if there is one, does not name.
        self._apps_not_in_file: list[str] = []
        self.file = (
            TokensFile(tokens_file, self._use, bytes_max=FILE_BYTES_MAX, log=log)
            if tokens_file
            else None
        )
        if self.file is None:
            self._warn_of_apps_without_token({})

    @property
    def fault(self) -> str:
        """The reason for which the file's current content is not used, "" if it is used."""
        return self.file.fault if self.file else ""

    def check_and_count_use(self, parameters: Mapping[str, str], now_s: float) -> Answer | None:
        """
        Return the answer to a request that is not authentic, None if it is authentic.

        Of an authentic request, count the use of the token that has signed it, and note the time.
        """
        tokens = self._tokens.get(parameters.get("SdkAppid", ""))
        if tokens is None:
            return answers.NOT_OURS
        if not tokens:
            return None
        sign, requested_at = parameters.get("Sign", ""), parameters.get("RequestTime", "")
        if not sign or not requested_at:
            return answers.UNSIGNED
        token = _match(tokens, sign, requested_at)
        if token is None:
            return answers.WRONG_SIGN
        if abs(now_s - _seconds(requested_at)) > self._sign_window_s:
            return answers.STALE
        token.uses += 1
        token.last_used_s = now_s
        return None

    def token_uses(self, now_s: float) -> list[dict[str, Any]]:
        """
        Return, for `/status`, how often each token has signed an authentic request since the start.

        `place` is the number of a token in the list of its app.

        At most TOKENS_SHOWN_MAX, beginning with the apps that have several: their rotation is not
        finished.
        """
        apps = sorted(self._tokens.items(), key=lambda app: (len(app[1]) < 2, app[0]))
        rows = (
            {"sdkappid": sdkappid, "place": place, **token.status_row(now_s)}
            for sdkappid, tokens in apps
            for place, token in enumerate(tokens, start=1)
        )
        return list(itertools.islice(rows, TOKENS_SHOWN_MAX))

    @property
    def apps_without_token(self) -> list[str]:
        """The apps whose callbacks are accepted without a Sign, at most TOKENS_SHOWN_MAX."""
        apps = sorted(app for app, tokens in self._tokens.items() if not tokens)
        return apps[:TOKENS_SHOWN_MAX]

    @property
    def apps_not_in_tokens_file(self) -> list[str]:
        """
        The configured apps that the tokens file does not name, at most TOKENS_SHOWN_MAX.

        Their callbacks are accepted from anyone, and no `= []` says that this is intended. Empty
        without a tokens file: then no app is asked for a Sign.
        """
        return self._apps_not_in_file[:TOKENS_SHOWN_MAX]

    def _use(self, content: bytes) -> str:
        parsed = parse(content, self._name)
        self._check_no_app_is_lost(parsed)
        known = {(app, token.text): token for app, kept in self._tokens.items() for token in kept}
        now_s = time.time()
        in_file = {
            app: tuple(known.get((app, text)) or Token(text, now_s) for text in texts)
            for app, texts in parsed.items()
        }
        self._tokens = self._of_all_apps(in_file)
        self._apps_not_in_file = [app for app in self._sdkappids if app not in in_file]
        self._warn_of_apps_without_token(in_file)
        return f"; apps: {', '.join(sorted(self._tokens))}"

    def _check_no_app_is_lost(self, in_file: Mapping[str, object]) -> None:
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

    def _warn_of_apps_without_token(self, in_file: Mapping[str, object]) -> None:
        """Warn of the configured apps that are not in the file; `= []` in it states the intent."""
        for sdkappid in self._sdkappids:
            if sdkappid not in in_file:
                log.warning(
                    "app %s has no token: its callbacks are accepted from anyone; write its token "
                    "into the tokens file (INGRESS_TOKENS_FILE), or %s = [] if no Sign is to be "
                    "asked for",
                    sdkappid,
                    sdkappid,
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


def _match(tokens: Iterable[Token], sign: str, requested_at: str) -> Token | None:
    """Return the token that signed, None if none of them did."""
    given_sign = sign.lower().encode("utf-8", "replace")
    time = requested_at.encode("utf-8", "replace")
    # Compare all of them, each in constant time.
    matching = [
        token
        for token in tokens
        if hmac.compare_digest(hashlib.sha256(token.text + time).hexdigest().encode(), given_sign)
    ]
    return matching[0] if matching else None


def _seconds(requested_at: str) -> float:
    is_time = requested_at.isascii() and requested_at.isdigit() and len(requested_at) < 16
    return int(requested_at) if is_time else -math.inf
