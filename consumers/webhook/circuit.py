"""
The circuit breaker of a target: whether the target is down, or only some conversations fail.

It opens when more than half of the conversations that were tried last have failed, and at least
FAILING_MIN of them. A target with fewer conversations is down if no connection can be made: then
nothing was sent, so it is not due to a conversation. While the circuit is open, nothing is
delivered or rejected, and no further conversation is parked; now and then a few callbacks are sent
as a probe, and the first one that is answered closes it; if there was no connection, the first
connection does. No I/O.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable

from consumers.webhook.outcome import Connection, Outcome

log = logging.getLogger(__name__)

# The conversations that count: the last ones that were tried, not longer ago than TRIED_S.
CONVERSATIONS_MAX = 20
TRIED_S = 60.0
FAILING_MIN = 5
# If an attempt has had a connection within this time, another one without is not the whole target.
CONNECTED_S = 0.5
PROBE_S = 1.0
PROBE_S_MAX = 60.0
# A probe that has not ended after this time is given up, and another one may begin.
PROBING_S_MAX = 40.0
CHECK_INTERVAL_S = 0.1


class Circuit:
    """Is closed at first. `opened_at` is a time of the clock, None while the circuit is closed."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._tried: OrderedDict[bytes, tuple[float, bool]] = OrderedDict()
        # When an attempt that had a connection ended last.
        self._connected_at = -math.inf
        self.opened_at: float | None = None
        self._opened_without_connection = False
        self.reason = ""
        self._wait_s = PROBE_S
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while the target counts as down."""
        return self.opened_at is not None

    @property
    def is_unreachable(self) -> bool:
        """True while the target counts as down because no connection to it can be made."""
        return self.is_open and self._opened_without_connection

    def now(self) -> float:
        """Return the time by the clock of the circuit."""
        return self._clock()

    def note_connection(self, outcome: Outcome, began_at: float) -> None:
        """Note for each attempt, also of a parked callback, whether there was a connection."""
        if outcome.connection is Connection.MADE:
            self._connected_at = self._clock()
            # The connection of an attempt that began before the circuit opened may be from then,
            # too: it does not show that one can be made now.
            opened_at = self.opened_at if self._opened_without_connection else None
            if opened_at is not None and began_at >= opened_at:
                self._close("can be reached")
            return
        was_connected = self._clock() - self._connected_at < CONNECTED_S
        if outcome.connection is Connection.NOT_MADE and not self.is_open and not was_connected:
            self._open("no connection can be made", outcome.reason, until="can be reached")
            self._opened_without_connection = True

    def note_answer(self, conversation: bytes) -> None:
        """Note an answer that is not about the target's health: a success, or a refused record."""
        if self.is_open:
            self._close("answers")
        self._note(conversation, failed=False)

    def note_failure(self, conversation: bytes, reason: str, *, retry_after_s: float = 0.0) -> None:
        """Note a failure of the first attempt to deliver a callback."""
        self._note(conversation, failed=True)
        if self.opened_at is not None:
            self._probe_at = max(self._probe_at, self._clock() + retry_after_s)
            return
        recent = [failed for at, failed in self._tried.values() if self._clock() - at <= TRIED_S]
        failing = sum(recent)
        if failing >= FAILING_MIN and 2 * failing > len(recent):
            cause = f"{failing} of the last {len(recent)} conversations failed"
            self._open(cause, reason, retry_after_s=retry_after_s)

    def _close(self, does: str) -> None:
        down_s = self._clock() - (self.opened_at or 0.0)
        log.warning("%s: the target %s again after %.0f s", self._name, does, down_s)
        self.opened_at = None
        self._wait_s = PROBE_S
        self._tried.clear()

    def _open(
        self, cause: str, reason: str, *, until: str = "answers", retry_after_s: float = 0.0
    ) -> None:
        self.opened_at, self.reason = self._clock(), reason
        self._opened_without_connection = False
        self._probe_at = self._clock() + max(PROBE_S, retry_after_s)
        log.warning(
            "%s: the target is down, and nothing is delivered until it %s: %s; the last failure "
            "is: %s",
            *(self._name, until, cause, reason),
        )

    def _note(self, conversation: bytes, *, failed: bool) -> None:
        self._tried[conversation] = self._clock(), failed
        self._tried.move_to_end(conversation)
        if len(self._tried) > CONVERSATIONS_MAX:
            self._tried.popitem(last=False)

    def begin_probe(self) -> bool:
        """Return whether the caller may send a probe now; no other one may until it has ended."""
        now = self._clock()
        if self.opened_at is None or now < self._probe_at:
            return False
        self._probe_at = now + PROBING_S_MAX
        return True

    def note_failed_probe(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        """Note that a probe got no answer; the next one waits twice as long."""
        self.reason = reason
        self._wait_s = min(2 * self._wait_s, PROBE_S_MAX)
        self._probe_at = self._clock() + max(self._wait_s, retry_after_s)

    async def wait(self, seconds: float) -> None:
        """Return when the circuit is closed or a probe may begin, or after `seconds`."""
        until = self._clock() + seconds
        while self.is_open and self._clock() < min(until, self._probe_at):  # noqa: ASYNC110 - a time
            await asyncio.sleep(CHECK_INTERVAL_S)
