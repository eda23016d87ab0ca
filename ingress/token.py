"""One token of an app, and its last use."""

import hashlib
from typing import Any

from schemas.clock import rfc3339

FINGERPRINT_CHARACTERS = 8


class Token:
    """A token as it is in the tokens file; it counts the authentic requests that it signed."""

    __slots__ = ("counted_since_s", "last_used_s", "text", "uses")

    def __init__(self, text: bytes, now_s: float) -> None:
        self.text = text
        # Since this Unix time its uses are counted.
        self.counted_since_s = now_s
        self.uses = 0
        # The Unix time of the last one; 0 if there was none.
        self.last_used_s = 0.0

    @property
    def fingerprint(self) -> str:
        """
        The beginning of the token's SHA-256, by which an operator distinguishes tokens.

        It is short, so that many texts have the same one; from a token that was made at random it
        reveals nothing useful.
        """
        return hashlib.sha256(self.text).hexdigest()[:FINGERPRINT_CHARACTERS]

    def status_row(self, now_s: float) -> dict[str, Any]:
        """
        Return the row of `/status`: the fingerprint, the number of uses and the last one.

        `unused_for_s` is for how long this process has not used the token, at least: since its last
        use, or since its uses are counted.
        """
        last_s = self.last_used_s
        unused_since_s = max(last_s, self.counted_since_s)
        return {
            "fingerprint": self.fingerprint,
            "uses": self.uses,
            "last_used_at": rfc3339(last_s) if self.uses else None,
            "last_used_ago_s": round(max(now_s - last_s, 0.0), 1) if self.uses else None,
            "unused_for_s": round(max(now_s - unused_since_s, 0.0), 1),
        }
