"""
Log the answers other than OK: one line for each answer and interval, so no peer can flood it.

A line shows no body, and of a Sign at most its first characters: a reader of the log must not be
able to send callbacks.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote

from ingress.http.answers import Answer
from ingress.http.failures_by_sender import FailuresBySender
from ingress.http.sender_address import SenderAddresses
from schemas.printable import printable

log = logging.getLogger("ingress.failed")

LOG_INTERVAL_S = 10.0
SHOWN_CHARACTERS_MAX = 300
SIGN_CHARACTERS = 6
_SIGN = re.compile(rf"(?i)(sign(?:=|%3d)[^&\s]{{{SIGN_CHARACTERS}}})[^&\s]*")


class FailureLog:
    """
    Logs the first use of an answer, then every LOG_INTERVAL_S how many there were since.

    `senders` has the last addresses that were given each answer.
    """

    def __init__(
        self,
        addresses: SenderAddresses | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.senders = FailuresBySender()
        self._addresses = addresses or SenderAddresses()
        self._clock = clock
        self._silent_until: dict[Answer, float] = {}
        self._not_logged: Counter[Answer] = Counter()

    def note(
        self,
        answer: Answer,
        detail: str,
        peer: object,
        target: str = "",
        forwarded_for: str = "",
    ) -> None:
        """
        Log that `answer`, which is not OK, was given to `peer`, or count it for a later line.

        `detail` is the reason, if it is known; `target` and `forwarded_for` are the request's URL
        and X-Forwarded-For, if they were read.
        """
        reason = shown(detail or answer.sent_text)
        sender = self._addresses.sender(peer, forwarded_for)
        self.senders.note(answer.name, sender, reason, time.time())
        now = self._clock()
        self._not_logged[answer] += 1
        if now < self._silent_until.get(answer, now):
            return
        self._silent_until[answer] = now + LOG_INTERVAL_S
        log.warning(
            "%s (%d since the last line): %s; the last one from %s%s",
            answer.name,
            self._not_logged.pop(answer),
            reason,
            sender,
            target and f" to {shown(unquote(target))}",
        )


def shown(text: str) -> str:
    """Return `text` in a form that a log may show: short, on one line, without a complete Sign."""
    return printable(_SIGN.sub(r"\1…", text), SHOWN_CHARACTERS_MAX)
