"""Read a webhook's retry topic: where each partition began, and the callbacks that wait in it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from consumers.runtime.batch import Position
from consumers.webhook.retry_record import (
    Change,
    FinishedCallback,
    ParkedCallback,
    TargetBegin,
    UnreadableRetryRecord,
    change,
)
from consumers.webhook.retry_topic import retry_topic
from ops.audit.sources import AuditFailed, SourceUnavailable
from ops.records.committed_records import find_partitions, partitions_of, reader_of
from ops.records.up_to_ends import fetches_up_to
from schemas.callback_record import place
from schemas.client_parts import inner_client
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.kafka_outage import outage_text
from schemas.missing_topics import missing_topics
from schemas.topic_ids import topic_id_of
from schemas.topics import CALLBACKS


@dataclass(slots=True)
class TargetState:
    """
    The state of a target as its retry topic has it, by partition of the main topic.

    `begun`: the position of the first record for the target. `positions`: the position after the
    records that were delivered, refused or parked. Their topic ids may differ, if the topic was
    created again. `parked`: origin and sequence of the callbacks that wait, by offset. `topic_id`:
    Kafka's id of the main topic when the state was read, None if unknown.
    """

    begun: dict[int, Position] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    parked: dict[int, dict[int, tuple[str, int]]] = field(default_factory=dict)
    topic_id: str | None = None

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield origin and sequence of each callback that the state names."""
        for position in (*self.begun.values(), *self.positions.values()):
            if position.last is not None:
                _, origin, sequence = position.last
                yield origin, sequence
        for waiting in self.parked.values():
            yield from waiting.values()

    def apply(self, partition: int, stated: Change) -> None:
        """Take over a change of a partition."""
        match stated:
            case TargetBegin(position):
                self.begun[partition] = position
            case Position():
                self.positions[partition] = stated
            case ParkedCallback(record):
                waiting = self.parked.setdefault(partition, {})
                waiting[record.offset] = place(record.headers)
            case FinishedCallback(offset):
                self.parked.get(partition, {}).pop(offset, None)


async def read_state(kafka: KafkaAccess, name: str) -> TargetState:
    """
    Return the state of the target `name`.

    Raises:
        SourceUnavailable: Kafka does not answer.
        AuditFailed: there is no such target, or its topic has a record that no webhook wrote.
    """
    topic, main_topic = kafka.topic(retry_topic(name)), kafka.topic(CALLBACKS.name)
    try:
        async with reader_of(kafka) as client:
            # Check first: `find_partitions` would wait for a missing topic.
            if await missing_topics(inner_client(client), [topic]):
                raise AuditFailed(
                    f"Kafka at {kafka} has no topic {topic}, so no webhook with the"
                    f" name {name} has run; correct the name"
                )
            await inner_client(client).set_topics([main_topic])
            topic_id = await topic_id_of(client, main_topic)
            await find_partitions(client, [topic])
            state = await _read(client, topic)
            state.topic_id = topic_id
    except (KafkaError, TimeoutError) as error:
        raise SourceUnavailable(f"{topic}: {outage_text(kafka, error)}") from error
    except UnreadableRetryRecord as error:
        raise AuditFailed(f"{topic}: {error}; remove what else writes to this topic") from error
    else:
        return state


async def _read(client: AIOKafkaConsumer, topic: KafkaName) -> TargetState:
    state = TargetState()
    ends = await client.end_offsets(partitions_of(client, [topic]))
    positions = await client.beginning_offsets(list(ends))
    async with contextlib.aclosing(fetches_up_to(client, positions, ends)) as fetches:
        async for tp, records in fetches:
            for record in records:
                state.apply(tp.partition, change(record.key, record.value, record.headers))
    return state
