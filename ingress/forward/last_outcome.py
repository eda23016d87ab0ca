"""
How a spool's last transaction ended, kept until `settle` has ended it so in every partition.

The coordinator is asked once, because the start of a producer erases its answer. An abort is noted
in the spool's file before that start, so that the next process aborts as well if this one dies. A
commit needs no note: once a producer has started, the coordinator has forgotten the outcome, and
without a note that means committed. The note is used only if the coordinator has forgotten. A note
that a failing disk did not remove may be older than a later commit.
"""

import asyncio
import logging

from ingress.spool.async_spool import AsyncSpool
from ingress.spool.disk import DiskFailed, LimitReached
from schemas.kafka_access import KafkaAccess
from schemas.transaction_state import TransactionOutcome, last_transaction_outcome

log = logging.getLogger(__name__)

# While the disk hangs, callbacks in memory wait for this long at most before they go to Kafka.
NOTE_TIMEOUT_S = 2.0


class LastOutcome:
    """The outcome of one spool's last transaction, for the forwarder of the spool."""

    def __init__(self, spool: AsyncSpool, kafka: KafkaAccess) -> None:
        self._spool = spool
        self._kafka = kafka
        self._outcome = TransactionOutcome.UNKNOWN
        # True from the beginning of `settle` until it succeeds: the coordinator's last transaction
        # may be one of `settle`.
        self._has_begun_settling = False
        # A write that failed may be on the disk all the same.
        self._may_be_noted = bool(spool.aborted_origin)

    @property
    def can_be_dropped(self) -> bool:
        """
        False while only this object knows the outcome that `settle` must repeat.

        That may be so after an abort, if the disk has failed, and while `settle` has not succeeded.
        """
        return self._outcome is TransactionOutcome.UNKNOWN or (
            self._outcome is TransactionOutcome.COMMITTED and not self._has_begun_settling
        )

    async def find(self, origin: str) -> None:
        """
        Learn how the last transaction of `origin` ended, before a producer starts.

        Raises:
            KafkaError, TimeoutError: the coordinator does not know it now.
        """
        if self._outcome is TransactionOutcome.UNKNOWN:
            self._outcome = await last_transaction_outcome(self._kafka, origin)
        is_noted = self._spool.aborted_origin == origin
        if self._outcome is TransactionOutcome.FORGOTTEN:
            self._outcome = TransactionOutcome.ABORTED if is_noted else TransactionOutcome.COMMITTED
        if self._outcome is TransactionOutcome.ABORTED and not is_noted:
            self._may_be_noted = True
            await self._note_abort(origin)

    @property
    def must_abort(self) -> bool:
        """True if `settle` must abort what is open, False if it must commit that."""
        return self._outcome is TransactionOutcome.ABORTED

    def begin_settling(self) -> None:
        """Note that `settle` begins; call `settled` once it has succeeded."""
        self._has_begun_settling = True

    def settled(self) -> None:
        """Note that nothing of the last transaction is open any more."""
        self._outcome = TransactionOutcome.UNKNOWN
        self._has_begun_settling = False

    async def forget_note(self) -> None:
        """
        Remove the note of an abort from the spool, before the next transaction ends.

        If the disk fails, the next call tries again.
        """
        if self._may_be_noted and await self._note_abort(""):
            self._may_be_noted = False

    async def _note_abort(self, origin: str) -> bool:
        """Return whether the note is on disk. The process continues without it."""
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._spool.note_abort(origin)
        except TimeoutError:
            fault = f"the disk takes longer than {NOTE_TIMEOUT_S:g} s"
        except (DiskFailed, LimitReached) as error:
            fault = str(error)
        else:
            return True
        log.warning(
            "spool %s: how its last transaction ended cannot be written: %s",
            self._spool.name,
            fault,
        )
        return False
