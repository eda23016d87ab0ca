"""
What was refused, in the log: one line a kind and interval, so that no peer can flood it.

Never a body, and of a Sign at most its first letters: whoever reads logs must not be able to send.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote

from ingress.http.answers import OK, Answer

log = logging.getLogger("ingress.refused")

EVERY_S = 10.0
SHOWN_LETTERS_MAX = 300
SIGN_LETTERS = 6
_SIGN = re.compile(rf"(?i)(sign(?:=|%3d)[^&\s]{{{SIGN_LETTERS}}})[^&\s]*")


class Complaints:
    """Says at once what is new, and every EVERY_S how often it happened since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._silent_until: dict[Answer, float] = {}
        self._unsaid: Counter[Answer] = Counter()

    def note(self, answer: Answer, detail: str, remote: object, target: str = "") -> None:
        """Log that `answer` was given to `remote`, or count it for a later line."""
        if answer is OK:
            return
        now = self._clock()
        self._unsaid[answer] += 1
        if now < self._silent_until.get(answer, now):
            return
        self._silent_until[answer] = now + EVERY_S
        log.warning(
            "%s (%d since the last line): %s; the last one from %s to %s",
            answer.name,
            self._unsaid.pop(answer),
            shown(detail or answer.info),
            remote,
            shown(unquote(target)),
        )


def shown(text: str) -> str:
    """Return `text` as it may stand in a log: short, on one line, no Sign whole."""
    printable = _SIGN.sub(r"\1…", text).encode("ascii", "backslashreplace").decode()
    line = printable.replace("\n", "\\n").replace("\r", "\\r")
    return line if len(line) <= SHOWN_LETTERS_MAX else f"{line[:SHOWN_LETTERS_MAX]}…"
