"""Where dead letters of each consumer can be sent again, and the outcome of sending some."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ops.dead_letters.letter import DeadLetter
from ops.failure import Failure
from ops.terminal import say
from schemas.dead_letter import INGRESS
from schemas.topics import CALLBACKS

SYNC, ARCHIVE, COUNTERS = "sync", "archive", "counters"
WEBHOOK_PREFIX = "webhook-"
REJECTIONS_SHOWN_MAX = 20


class CannotResend(Failure):
    """Dead letters of a consumer cannot be sent again; the text says what to do instead."""


class ResendCounts(NamedTuple):
    """
    What happened to some dead letters.

    `skipped`: nothing was done; `result_text` has the reasons.
    """

    resent: int = 0
    rejected: int = 0
    skipped: int = 0

    def __add__(self, other: object) -> "ResendCounts":
        """Return the sum of two outcomes."""
        if not isinstance(other, ResendCounts):
            return NotImplemented
        return ResendCounts(*(a + b for a, b in zip(self, other, strict=True)))


class RejectionLog:
    """Prints the first reasons why dead letters were rejected again."""

    def __init__(self) -> None:
        self._left = REJECTIONS_SHOWN_MAX

    def note(self, letters: Sequence[DeadLetter], reason: str) -> None:
        """Print that `letters` were rejected again."""
        if self._left:
            self._left -= 1
            more = f" and {len(letters) - 1} more" if len(letters) > 1 else ""
            say(f"{letters[0].id}{more} rejected again: {reason}")


class ResendTarget(Protocol):
    """The target to which the dead letters of one consumer are sent again."""

    async def send(self, letters: Sequence[DeadLetter]) -> ResendCounts:
        """
        Send dead letters, and note in the topic of actions which were sent and which rejected.

        Raises:
            Failure: some may have been sent; to send all of them again does no harm.
        """
        ...


def is_webhook(consumer: str) -> bool:
    """Return whether the name is that of a webhook's group."""
    return consumer.startswith(WEBHOOK_PREFIX) and consumer != WEBHOOK_PREFIX


def is_own_consumer(name: str) -> bool:
    """Return whether Hookline has a consumer of this name, or may have it: a webhook."""
    return name in (SYNC, INGRESS, ARCHIVE, COUNTERS) or is_webhook(name)


def target_name(consumer: str) -> str:
    """Return the target of the dead letters of a consumer, for a question."""
    if consumer == SYNC:
        return "the database of sync"
    return "the topic of callbacks" if consumer == INGRESS else f"the retry topic of {consumer}"


def result_text(counts: ResendCounts, consumer: str) -> str:
    """Return what happened to dead letters of a consumer, and why some may have been skipped."""
    text = f"{counts.resent} sent, {counts.rejected} rejected again, {counts.skipped} skipped"
    return f"{text}, because {_skipped_because(consumer)}" if counts.skipped else text


def _skipped_because(consumer: str) -> str:
    if consumer == INGRESS:
        return (
            "they, or other dead letters of the same callbacks, were sent or dropped by another"
            " command"
        )
    return (
        f"{consumer} will read their records by itself, or their headers do not name a record of"
        f" {CALLBACKS.name}"
    )


def check_can_resend(consumer: str) -> None:
    """
    Check that dead letters of `consumer` can be sent again.

    Raises:
        CannotResend: they cannot; the text says what to do.
    """
    if consumer in (SYNC, INGRESS) or is_webhook(consumer):
        return
    if consumer == ARCHIVE:
        raise CannotResend("the archive rejects no record, so there is nothing to send again")
    if consumer == COUNTERS:
        raise CannotResend(
            "single callbacks cannot be sent to the counters again: one that they have counted"
            " meanwhile would be counted twice. Fix the cause, then count all callbacks again, also"
            " the rejected ones: hookline counters rebuild --yes"
        )
    raise CannotResend(
        f"{consumer!r} is neither `sync`, `ingress` nor `webhook-NAME`. A consumer of another"
        " project reads its dead letters from tim.callbacks.dead.v1 itself, see docs/contract.md;"
        " then note it: hookline dead-letters drop"
    )
