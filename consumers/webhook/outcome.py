"""The outcomes of a delivery attempt, by the target's answer. docs/webhooks.md has the table."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

from consumers.runtime.handler import Stopped

# The longest time that a target may ask to be left alone by Retry-After.
RETRY_AFTER_S_MAX = 3600.0
_TRY_AGAIN = frozenset({408, 425, 429})


class OutcomeKind(Enum):
    """What becomes of the callback; the value is the label of the metric."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"
    GONE = "gone"


class Connection(Enum):
    """
    Whether an attempt had a connection to the target, which includes TLS.

    MADE: it had a new one, or an earlier one that was still open. NOT_MADE: it tried to make one,
    which failed or exceeded its limit; so nothing was sent, and the callback cannot be the cause.
    NOT_TRIED: it ended before that, which says nothing about the target.
    """

    MADE = "made"
    NOT_MADE = "not made"
    NOT_TRIED = "not tried"


class Outcome(NamedTuple):
    """Why a callback was delivered or not, and after which time the target may be asked again."""

    kind: OutcomeKind
    reason: str = ""
    retry_after_s: float = 0.0
    connection: Connection = Connection.MADE


def target_is_gone(outcome: Outcome) -> Stopped:
    """Return the exception after `outcome`, by which the target wants no more callbacks."""
    return Stopped(
        f"The target does not want any more callbacks: {outcome.reason}. Nothing is delivered "
        "until the process is started again. Remove the target, or correct WEBHOOK_URL; see 'A "
        "webhook stops' in docs/runbook.md."
    )


def by_answer(status: int, retry_after: str | None, excerpt: str, now: datetime) -> Outcome:
    """Return the outcome of an answer with `status`, whose body begins with `excerpt`."""
    if 200 <= status < 300:
        return Outcome(OutcomeKind.DELIVERED)
    reason = f"the target answered {status}" + (f": {excerpt}" if excerpt else "")
    if status == 410:
        return Outcome(OutcomeKind.GONE, reason)
    if status >= 500 or status in _TRY_AGAIN:
        asked = retry_after if status in (429, 503) else None
        return Outcome(OutcomeKind.FAILED, reason, _retry_after_s(asked, now))
    return Outcome(OutcomeKind.REFUSED, reason)


def _retry_after_s(header: str | None, now: datetime) -> float:
    """Return the seconds in Retry-After, a number or a date; 0 if there is none."""
    if not header:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)
    except (ValueError, OverflowError, TypeError, IndexError):
        # The target chooses every byte, and the parser and the arithmetic raise all of these.
        return 0.0
