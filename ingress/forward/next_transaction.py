"""
Decide how many rows the next transaction carries, and which of them are dead letters instead.

A broker refuses a transaction without naming the record. So the next transactions carry fewer rows,
until the refused row is alone; a dead letter replaces it.
"""

import logging

from aiokafka.errors import KafkaError

from ingress.forward.transaction_batches import TransactionBatches
from ingress.spool.async_spool import AsyncSpool
from schemas.clock import now_ms
from schemas.outgoing_record import OutgoingRecord, refused_record
from schemas.telemetry import INGRESS_REFUSED_BY_KAFKA
from schemas.topics import DEAD_LETTERS

log = logging.getLogger(__name__)

TRANSACTION_ROWS_MAX = 2000


class NextTransaction:
    """
    The bound of the next transaction, and the dead letters that replace rows in it.

    `rows_max` is the largest number of its rows. `dead_letters` has, by the sequence of the row,
    the records that replace the rows which Kafka refuses.
    """

    def __init__(self, spool: AsyncSpool) -> None:
        self._spool = spool
        self.rows_max = TRANSACTION_ROWS_MAX
        self.dead_letters: dict[int, OutgoingRecord] = {}

    def clear(self) -> None:
        """Forget all dead letters: the rows have new sequences."""
        self.rows_max = TRANSACTION_ROWS_MAX
        self.dead_letters.clear()

    def note_sent(self, last_sequence: int) -> None:
        """Forget the dead letters up to `last_sequence`, and allow larger transactions again."""
        self.rows_max = min(2 * self.rows_max, TRANSACTION_ROWS_MAX)
        for sequence in [sequence for sequence in self.dead_letters if sequence <= last_sequence]:
            del self.dead_letters[sequence]

    def shrink_or_replace(self, batches: TransactionBatches, refusal: KafkaError) -> bool:
        """
        After Kafka has refused `batches`, halve the next transaction, until the row is alone.

        A dead letter replaces the row that is alone. Return False if neither is possible: Kafka
        refuses the dead letter as well.
        """
        if batches.row_count > 1:
            self.rows_max = batches.row_count // 2
            return True
        sequence = batches.last_sequence
        if sequence in self.dead_letters:
            return False
        (row,) = self._spool.rows_after(sequence - 1, rows_max=1, bytes_max=1)
        INGRESS_REFUSED_BY_KAFKA.inc()
        if row.record.topic == DEAD_LETTERS.name:
            # A malformed callback, which is a dead letter from the beginning.
            return False
        log.critical(
            "Kafka refuses sequence %d of origin %s (%s); it goes to the dead-letter topic",
            sequence,
            self._spool.state.origin,
            str(refusal) or type(refusal).__name__,
        )
        self.dead_letters[sequence] = refused_record(row.record, refusal, now_ms())
        return True
