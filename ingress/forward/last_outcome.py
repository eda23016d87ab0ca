"""
How a spool's last transaction ended, kept until `settle` has ended it so in every partition.

Before each start of a producer, a transaction that is under way is ended. The outcome is read only
once, because the start of a producer makes the coordinator forget it. An abort is noted in the
spool's file before the producer starts, and none starts until the note is on disk: neither a
failing disk nor a kill makes an aborted transaction count as committed. The note is removed before
the next transaction with rows begins, so it never counts for a later one. If the coordinator knows
the outcome, its answer wins.

If the coordinator has forgotten the outcome and there is no note, the transaction counts as
committed; so a commit needs no note. That is harmless if there was no transaction, because nothing
is open then. If Kafka has dropped the transactional id, because no producer used it for days, the
next producer has another producer id, and its markers end nothing of the former one
(docs/decisions/0017-open-transactions.md).

A write of the note is waited for until it has ended, however slow the disk is: a write that nobody
waits for still changes the file later, and the next one would have to change it back.
"""

import asyncio
from collections.abc import Callable

from ingress.forward.cursor import transactional_id_of
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.disk import DiskFailed, LimitReached
from schemas.kafka_access import KafkaAccess
from schemas.transaction_state import TransactionOutcome, end_last_transaction

# If a write of the note takes longer, `forward_fault` in /status says so while it is waited for.
NOTE_REPORTED_AFTER_S = 2.0
_REASON = "how its last transaction ended cannot be written to the spool"


class LastOutcome:
    """
    The outcome of one spool's last transaction, for the forwarder of the spool.

    `report_fault` gets the reason for which forwarding waits if the disk is slow.
    """

    def __init__(
        self, spool: AsyncSpool, kafka: KafkaAccess, report_fault: Callable[[DiskFailed], None]
    ) -> None:
        self._spool = spool
        self._kafka = kafka
        self._report_fault = report_fault
        self._outcome = TransactionOutcome.NOT_ASKED
        # True from the beginning of `settle` until it succeeds: the coordinator's last transaction
        # may be one of `settle`.
        self._has_begun_settling = False

    @property
    def is_replaceable(self) -> bool:
        """
        False while only this object knows the outcome that `settle` must repeat.

        That is so after a commit, from the beginning of `settle` until it succeeds. An abort is
        known from the spool's file.
        """
        return not self._has_begun_settling or self.must_abort

    async def end_and_note(self, origin: str) -> None:
        """
        End the last transaction of `origin`, learn how it ended, and note an abort in the spool.

        Call it before a producer starts.

        Raises:
            KafkaError, TimeoutError: the coordinator does not know it now.
            LimitReached, DiskFailed: the disk does not keep it; no producer may start.
        """
        transactional_id = transactional_id_of(self._kafka, origin)
        if self._outcome is TransactionOutcome.NOT_ASKED:
            self._outcome = await end_last_transaction(self._kafka, transactional_id)
        elif not self.is_replaceable:
            # `settle` may have stopped half-way. The start of a producer would abort it, and with
            # it parts of the last transaction.
            await end_last_transaction(self._kafka, transactional_id, commit=True)
        is_noted = self._spool.aborted_origin == origin
        if self._outcome is TransactionOutcome.FORGOTTEN:
            self._outcome = TransactionOutcome.ABORTED if is_noted else TransactionOutcome.COMMITTED
        if self.must_abort is not is_noted:
            await self._store_aborted_origin(origin if self.must_abort else "")

    @property
    def must_abort(self) -> bool:
        """True if `settle` must abort what is open, False if it must commit that."""
        return self._outcome is TransactionOutcome.ABORTED

    def begin_settling(self) -> None:
        """Note that `settle` begins; call `end_settling` once it has succeeded."""
        self._has_begun_settling = True

    async def end_settling(self) -> None:
        """
        Forget the outcome, also on disk: nothing of the last transaction is open any more.

        Raises:
            LimitReached, DiskFailed: the note is still on disk; no transaction may begin.
        """
        if self._spool.aborted_origin:
            await self._store_aborted_origin("")
        self._outcome = TransactionOutcome.NOT_ASKED
        self._has_begun_settling = False

    async def _store_aborted_origin(self, origin: str) -> None:
        slow = DiskFailed(f"{_REASON}: the disk takes longer than {NOTE_REPORTED_AFTER_S:g} s")
        timer = asyncio.get_running_loop().call_later(
            NOTE_REPORTED_AFTER_S, self._report_fault, slow
        )
        try:
            await self._spool.store_aborted_origin(origin)
        except (DiskFailed, LimitReached) as error:
            raise type(error)(f"{_REASON}: {error}") from error
        finally:
            timer.cancel()
