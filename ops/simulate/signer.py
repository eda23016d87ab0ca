"""Sign callbacks as the vendor does if a token is set in its console."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from ingress.authenticator import FILE_BYTES_MAX, parse
from ops.failure import Failure
from schemas.tokens_file import UnusableFile


class NoTokens(Failure):
    """The tokens file cannot be used; the text says why."""


class Signer:
    """Signs with the token of each app, and with `token` for the apps that have none."""

    def __init__(self, tokens: Mapping[str, bytes] | None = None, token: str = "") -> None:
        self._tokens = tokens or {}
        self._token = token.encode()

    def sign(self, sdkappid: str, query: str, now_s: float) -> str:
        """Return the query with Sign and RequestTime, or unchanged if the app has no token."""
        token = self._tokens.get(sdkappid, self._token)
        return query + _parameters(token, int(now_s)) if token else query


def signer_of_file(path: Path) -> Signer:
    """
    Return a signer with the first token of each app in the tokens file of an ingress.

    Raises:
        NoTokens: the file cannot be read or is not one.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise NoTokens(f"{path} is larger than {FILE_BYTES_MAX} bytes")
        return Signer(
            {app: tokens[0] for app, tokens in parse(content, str(path)).items() if tokens}
        )
    except OSError as error:
        raise NoTokens(f"{path} cannot be read: {error.strerror}") from error
    except UnusableFile as unusable:
        raise NoTokens(str(unusable)) from unusable


# All callbacks of one second have the same Sign.
@functools.lru_cache(maxsize=64)
def _parameters(token: bytes, second: int) -> str:
    sign = hashlib.sha256(token + b"%d" % second).hexdigest()
    return f"&Sign={sign}&RequestTime={second}"
