"""
Log the answers other than OK: one line for each answer and interval, so no peer can flood it.

A line shows no body, and of a Sign at most its first characters: a reader of the log must not be
able to send callbacks.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from ingress.http.answers import Answer
from ingress.http.failures_by_sender import FailuresBySender
from ingress.http.sender_address import SenderAddresses
from schemas.printable import printable

log = logging.getLogger("ingress.failed")

LOG_INTERVAL_S = 10.0
# Interval at which the lines that are due are logged.
CHECK_INTERVAL_S = 1.0
SHOWN_CHARACTERS_MAX = 300
SIGN_CHARACTERS = 6
_SIGN = re.compile(rf"(?i)(sign(?:=|%3d)[^&\s]{{{SIGN_CHARACTERS}}})[^&\s]*")


@dataclass(slots=True)
class _Unlogged:
    """The uses of an answer since its last line: their number, and the last one."""

    count: int = 0
    reason: str = ""
    sender: str = ""
    target: str = ""


class FailureLog:
    """
    Logs the first use of an answer, then every LOG_INTERVAL_S how many there were since.

    Each use is in a line, also if none follows it: `watch` logs the lines that are due, and
    `log_rest` those that are not due yet when the process ends.

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
        self._unlogged: dict[Answer, _Unlogged] = {}

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
        unlogged = self._unlogged.setdefault(answer, _Unlogged())
        unlogged.count += 1
        unlogged.reason, unlogged.sender, unlogged.target = reason, sender, target
        self._log_if_due(answer)

    async def watch(self) -> None:
        """Log the lines that are due, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self.log_due()

    def log_due(self) -> None:
        """Log a line for each answer that was used since its last line, if that is old enough."""
        for answer in tuple(self._unlogged):
            self._log_if_due(answer)

    def log_rest(self) -> None:
        """Log a line for each answer that was used since its last line."""
        for answer in tuple(self._unlogged):
            self._log(answer)

    def _log_if_due(self, answer: Answer) -> None:
        now = self._clock()
        if now >= self._silent_until.get(answer, now):
            self._silent_until[answer] = now + LOG_INTERVAL_S
            self._log(answer)

    def _log(self, answer: Answer) -> None:
        unlogged = self._unlogged.pop(answer)
        log.warning(
            "%s (%d since the last line): %s; the last one from %s%s",
            answer.name,
            unlogged.count,
            unlogged.reason,
            unlogged.sender,
            unlogged.target and f" to {shown(unquote(unlogged.target))}",
        )


def shown(text: str) -> str:
    """Return `text` in a form that a log may show: short, on one line, without a complete Sign."""
    return printable(_SIGN.sub(r"\1…", text), SHOWN_CHARACTERS_MAX)
