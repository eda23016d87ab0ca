"""
Send callbacks to the target of a webhook again, signed and with the ids that they had before.

The callbacks of a conversation are sent one after the other. The position of the replay is the
committed offset of a group of its own, and moves after the target has answered: a replay that was
killed sends the last ones again, which the receiver drops by their ids. The position stays before
the first record of its partition that the target refused, so that the next run sends it again.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from consumers.runtime.batch import Partition, Position, Record
from consumers.runtime.names import from_kafka, in_kafka
from consumers.webhook.callback_filter import callback_filter
from consumers.webhook.outcome import OutcomeKind
from consumers.webhook.retry_record import conversation
from consumers.webhook.sender import Sender, open_sender
from ops.audit.sources import SourceUnavailable
from ops.audit.webhook_state import TargetState, read_state
from ops.failure import Failure
from ops.records.committed_records import partitions_of
from ops.records.kafka_answers import kafka_answers
from ops.replay.delivered import state_of
from ops.replay.source import Part
from ops.replay.target import (
    OFFSETS_UNSAVED_MAX,
    CannotReplay,
    RecordState,
    RejectionLog,
    ReplayCounts,
)
from ops.replay.webhook_settings import webhook_settings
from ops.terminal import say
from schemas.client_parts import inner_client
from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.tokens_file import UnusableFile
from schemas.topic_ids import topic_id_of
from schemas.topics import CALLBACKS

START_S = 30.0
# Waits for a target that does not answer or fails, growing up to the second one.
WAIT_S = 1.0
WAIT_S_MAX = 30.0
# The minimum interval between printed failures.
FAILURE_INTERVAL_S = 10.0


class TargetGone(Failure):
    """The target answered that it wants no more callbacks."""


class ToWebhook:
    """Use `replaying_to_webhook`."""

    def __init__(
        self,
        sender: Sender,
        is_wanted: Callable[[Record], bool],
        state: TargetState,
        kafka_id: str | None,
        positions: AIOKafkaConsumer,
        *,
        kafka: KafkaAccess,
        requests_max: int,
    ) -> None:
        self._kafka = kafka
        self._sender = sender
        # In the sender, the wait for a connection would be a part of the time of an attempt.
        self._slots = asyncio.Semaphore(requests_max)
        self._is_wanted = is_wanted
        # When the command began: the webhook itself delivers the callbacks after its positions.
        self._state = state
        self._kafka_id = kafka_id
        self._positions = positions
        self._rejections = RejectionLog()
        self._at: dict[Partition, int] = {}
        self._first_rejected: dict[Partition, int] = {}
        self._failure_due_at = 0.0

    async def positions(self) -> Mapping[Partition, Position]:
        """Return the positions of an interrupted replay."""
        # `committed` does not return the metadata, which has the id of the topic.
        coordinator: Any = self._positions._coordinator  # noqa: SLF001
        stored: Mapping[TopicPartition, OffsetAndMetadata]
        stored = await coordinator.fetch_committed_offsets(sorted(self._positions.assignment()))
        found = {
            from_kafka(self._kafka, tp): Position(each.offset, None, each.metadata or None)
            for tp, each in stored.items()
            # Kafka cannot forget a position immediately: 0 stands for none.
            if each.offset
        }
        self._at = {partition: each.next_offset for partition, each in found.items()}
        return found

    async def states(self, part: Part) -> Sequence[RecordState]:
        """Return which records would be sent."""
        return [self._state_of(part, each) for each in part.records]

    async def write(self, part: Part) -> ReplayCounts:
        """
        Send the records that the target has accepted or refused; store the position after all.

        The position stays before the first record of the partition that the target refused.
        Wait while the target does not answer, or fails.

        Raises:
            TargetGone: the target wants no more callbacks; some may have been sent.
            KafkaError, TimeoutError: the position may not have been stored.
        """
        states = await self.states(part)
        wanted = [
            record
            for record, state in zip(part.records, states, strict=True)
            if state is RecordState.DONE
        ]
        counts = ReplayCounts(pending=states.count(RecordState.PENDING))
        try:
            async with asyncio.TaskGroup() as tasks:
                sent = [
                    tasks.create_task(self._send_all(part.partition, records))
                    for records in _conversations(wanted)
                ]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        for task in sent:
            counts += task.result()
        at = self._at.get(part.partition, 0)
        reached = min(part.next_offset, self._first_rejected.get(part.partition, part.next_offset))
        if reached > at and (wanted or reached - at >= OFFSETS_UNSAVED_MAX):
            stored = OffsetAndMetadata(reached, part.topic_id or "")
            await self._positions.commit({in_kafka(self._kafka, part.partition): stored})
            self._at[part.partition] = reached
        return counts

    async def finish(self) -> None:
        """Set the positions to 0, so that the same selection begins again."""
        await self._positions.commit(dict.fromkeys(self._positions.assignment(), 0))
        self._at.clear()

    def _state_of(self, part: Part, record: Record) -> RecordState:
        found = state_of(self._state, part, record, self._kafka_id)
        if found is RecordState.DONE and not self._is_wanted(record):
            return RecordState.UNWANTED
        return found

    async def _send_all(self, partition: Partition, records: Iterable[Record]) -> ReplayCounts:
        counts = ReplayCounts()
        for record in records:
            counts += await self._send(partition, record)
        return counts

    async def _send(self, partition: Partition, record: Record) -> ReplayCounts:
        wait_s = WAIT_S
        while True:
            check_cancellation()
            async with self._slots:
                outcome = await self._sender.send(record)
            match outcome.kind:
                case OutcomeKind.DELIVERED:
                    return ReplayCounts(written=1)
                case OutcomeKind.REFUSED:
                    self._rejections.note(partition, record, outcome.reason)
                    first = self._first_rejected.get(partition, record.offset)
                    self._first_rejected[partition] = min(first, record.offset)
                    return ReplayCounts(rejected=1)
                case OutcomeKind.GONE:
                    raise TargetGone(
                        f"{outcome.reason}: it wants no more callbacks. Correct the target or"
                        " WEBHOOK_URL, then run the command again; it continues"
                    )
            self._say_failure(outcome.reason)
            await asyncio.sleep(max(wait_s, outcome.retry_after_s))
            wait_s = min(2 * wait_s, WAIT_S_MAX)

    def _say_failure(self, reason: str) -> None:
        if time.monotonic() >= self._failure_due_at:
            self._failure_due_at = time.monotonic() + FAILURE_INTERVAL_S
            say(f"{reason}; waiting for the target")


def _conversations(records: Iterable[Record]) -> Iterable[Sequence[Record]]:
    """Return the records of each conversation, in order."""
    by_key: dict[bytes, list[Record]] = {}
    for record in records:
        by_key.setdefault(conversation(record), []).append(record)
    return by_key.values()


@asynccontextmanager
async def replaying_to_webhook(
    kafka: KafkaAccess, consumer: str, name: str
) -> AsyncIterator[ToWebhook]:
    """
    Yield the target of a webhook as the target of the replay `name`.

    Raises:
        CannotReplay: its settings cannot be used.
        AuditFailed: no webhook with this name has run.
        KafkaUnreadable: Kafka does not answer.
    """
    settings = webhook_settings(consumer)
    try:
        state = await read_state(kafka, settings.name)
    except SourceUnavailable as unavailable:
        raise CannotReplay(f"{unavailable}; run the command again") from unavailable
    client = AIOKafkaConsumer(
        **kafka.options(),
        group_id=kafka.group(f"hookline-replay-{consumer}-{name}"),
        enable_auto_commit=False,
    )
    async with contextlib.AsyncExitStack() as opened:
        try:
            sender = await opened.enter_async_context(open_sender(settings))
        except UnusableFile as unusable:
            raise CannotReplay(f"WEBHOOK_SECRETS_FILE: {unusable}") from unusable
        opened.enter_context(kafka_answers(kafka, "run the command again; it continues"))
        await opened.enter_async_context(started(client, START_S, kafka))
        topic = kafka.topic(CALLBACKS.name)
        await inner_client(client).set_topics([topic])
        client.assign(partitions_of(client, [topic]))
        is_wanted = callback_filter(sdkappids=settings.sdkappids, commands=settings.commands)
        kafka_id = await topic_id_of(client, topic)
        yield ToWebhook(
            *(sender, is_wanted, state, kafka_id, client),
            kafka=kafka,
            requests_max=settings.requests_max,
        )
