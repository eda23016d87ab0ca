"""
Send dead letters of the ingress to the main topic, in Kafka transactions with their actions.

Records and action become visible together or not at all, as the records and the cursor of a
forwarder do. The transactional id is fixed: the start of a command ends one that runs, and what a
killed one has left open; only then are the actions read, and it continues after them.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from ingress.forward.settle import settle
from ingress.forward.transaction import REFUSALS, end_transaction, transactional_producer
from ingress.forward.transaction_batches import partition_of
from ops.dead_letters.actions import action
from ops.dead_letters.letter import DeadLetter
from ops.dead_letters.reader import read_actions
from ops.dead_letters.repaired import repaired
from ops.dead_letters.targets import RejectionLog, ResendCounts
from ops.failure import Failure
from schemas.body import Malformed
from schemas.client_parts import mark_retrieved
from schemas.dead_letter_actions import Action, ActionResult, Actions, encoded
from schemas.kafka_access import KafkaAccess
from schemas.marker_check import MarkerCheck
from schemas.outgoing_record import OutgoingRecord
from schemas.topics import ACTIONS, CALLBACKS, EXTENDED_RECORD_BYTES_LIMIT
from schemas.transaction_state import TransactionOutcome, end_last_transaction

TRANSACTIONAL_ID = "hookline-dead-letters-ingress"
START_S = 30.0
# Shorter than the time after which the broker aborts a transaction (TRANSACTION_TIMEOUT_MS).
SEND_S = 8.0
_TOPICS = CALLBACKS.name, ACTIONS.name


class TakenOver(Failure):
    """Another command sends the same dead letters; this one has ended."""


class ToTopic:
    """Use `sending_to_topic`."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        kafka: KafkaAccess,
        markers: MarkerCheck,
        actions: Actions,
        by: str,
    ) -> None:
        self._producer = producer
        self._topic = kafka.topic(CALLBACKS.name)
        self._actions_topic = kafka.topic(ACTIONS.name)
        self._markers = markers
        self._by = by
        self._rejections = RejectionLog()
        # All actions before this producer, and its own.
        self.actions = actions

    async def send(self, letters: Sequence[DeadLetter]) -> ResendCounts:
        """
        Send callbacks to the main topic that can be read now, once each, and note the actions.

        Raises:
            KafkaError, TimeoutError: the last of them may or may not have been sent.
        """
        records: list[tuple[DeadLetter, OutgoingRecord]] = []
        rejected: defaultdict[str, list[DeadLetter]] = defaultdict(list)
        skipped = 0
        for letter in letters:
            if not self.actions.is_open(letter.id) or self._was_resent(letter):
                skipped += 1
                continue
            try:
                records.append((letter, repaired(letter)))
            except Malformed as malformed:
                rejected[str(malformed)].append(letter)
        sent = await self._send(records)
        if rejected:
            taken = [
                self._action(some, ActionResult.REJECTED, reason)
                for reason, some in rejected.items()
            ]
            await self._transaction([], taken)
            for reason, some in rejected.items():
                self._rejections.note(some, reason)
        return sent + ResendCounts(rejected=sum(map(len, rejected.values())), skipped=skipped)

    def _was_resent(self, letter: DeadLetter) -> bool:
        return self.actions.was_resent(letter.consumer, letter.origin, letter.sequence)

    async def _send(self, records: list[tuple[DeadLetter, OutgoingRecord]]) -> ResendCounts:
        """Send all in one transaction; if the broker refuses one of several, send the others."""
        if not records:
            return ResendCounts()
        letters = [letter for letter, _ in records]
        taken = self._action(letters, ActionResult.RESENT)
        try:
            await self._transaction([record for _, record in records], [taken])
        except REFUSALS as refusal:
            async with asyncio.timeout(SEND_S):
                await end_transaction(
                    self._producer, self._markers, self._producer.abort_transaction()
                )
            if len(records) == 1:
                reason = str(refusal)
                await self._transaction([], [self._action(letters, ActionResult.REJECTED, reason)])
                self._rejections.note(letters, reason)
                return ResendCounts(rejected=1)
            at = len(records) // 2
            return await self._send(records[:at]) + await self._send(records[at:])
        return ResendCounts(resent=len(records))

    def _action(
        self, letters: Sequence[DeadLetter], result: ActionResult, reason: str = ""
    ) -> Action:
        return action(letters, result, by=self._by, topic_id=self.actions.topic_id, reason=reason)

    async def _transaction(
        self, records: Sequence[OutgoingRecord], taken: Sequence[Action]
    ) -> None:
        partitions = len(await self._producer.partitions_for(self._topic))
        async with asyncio.timeout(SEND_S):
            await self._producer.begin_transaction()
            acknowledged = []
            for record in records:
                sequence = int(dict(record.headers)["ce_sequence"])
                future = await self._producer.send(
                    self._topic,
                    record.value,
                    key=record.key,
                    headers=record.headers,
                    partition=partition_of(record.key, sequence, partitions),
                )
                # If another one fails first, its result is not awaited.
                future.add_done_callback(mark_retrieved)
                acknowledged.append(future)
            acknowledged += [
                await self._producer.send(self._actions_topic, encoded(each)) for each in taken
            ]
            await asyncio.gather(*acknowledged)
            await end_transaction(
                self._producer, self._markers, self._producer.commit_transaction()
            )
        self.actions.add_all(taken)


@asynccontextmanager
async def sending_to_topic(kafka: KafkaAccess, by: str) -> AsyncIterator[ToTopic]:
    """
    Yield the main topic as a target, once all earlier transactions have ended everywhere.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer, or a topic does not exist.
        TakenOver: another command has begun meanwhile.
    """
    transactional_id = kafka.transactional_id(TRANSACTIONAL_ID)
    # Before the producer starts, because its start makes the coordinator forget the outcome.
    outcome = await end_last_transaction(kafka, transactional_id)
    async with transactional_producer(
        kafka, transactional_id, record_bytes_max=EXTENDED_RECORD_BYTES_LIMIT, start_s=START_S
    ) as producer:
        markers = MarkerCheck(map(kafka.topic, _TOPICS))
        async with asyncio.timeout(START_S):
            await markers.begin(producer.client, transactional_id)
            settling = settle(
                producer,
                kafka,
                TRANSACTIONAL_ID,
                abort=outcome is TransactionOutcome.ABORTED,
                topics=_TOPICS,
            )
            await end_transaction(producer, markers, settling)
        try:
            yield ToTopic(producer, kafka, markers, await read_actions(kafka), by)
        except ProducerFenced as error:
            raise TakenOver(
                "another `hookline dead-letters resend ingress` has begun, and has ended this one"
            ) from error
