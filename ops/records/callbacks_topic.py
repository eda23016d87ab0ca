"""Read the records of a topic from given offsets on, without a group."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from consumers.runtime.batch import Partition, Record
from consumers.runtime.names import from_kafka, in_kafka
from consumers.runtime.record_decoding import decode_as_records
from ops.records.committed_records import check_topics, partitions_of, read_from
from ops.records.kafka_answers import kafka_answers
from schemas.client_parts import inner_client
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.topic_ids import topic_id_of
from schemas.topics import CALLBACKS

# The time in which Kafka must connect.
KAFKA_S_MAX = 30.0
POLL_MS = 500
FETCH_RECORDS = 5000


class OffsetRange(NamedTuple):
    """The offsets that a partition has: the first, and the one after the last committed record."""

    start: int
    end: int


class PartitionRecords(NamedTuple):
    """Records of one partition, and the offset after them and the markers that follow."""

    partition: Partition
    records: Sequence[Record]
    next_offset: int


class CallbacksTopic:
    """Use `reading_topic`."""

    def __init__(self, client: AIOKafkaConsumer, kafka: KafkaAccess) -> None:
        self._client = client
        self._kafka = kafka
        self._topic = kafka.topic(CALLBACKS.name)

    @property
    def name(self) -> KafkaName:
        """The name of the topic in Kafka."""
        return self._topic

    def name_in_kafka(self, partition: Partition) -> str:
        """Return the partition's name as the cluster knows it, for texts."""
        return self._kafka.topic(str(partition))

    async def id(self) -> str | None:
        """Return Kafka's id of the topic, None if Kafka has no ids."""
        return await topic_id_of(self._client, self._topic)

    async def ranges(self) -> Mapping[Partition, OffsetRange]:
        """Return the offsets of every partition."""
        tps = partitions_of(self._client, [self._topic])
        starts = await self._client.beginning_offsets(tps)
        ends = await self._client.end_offsets(tps)
        return {self._bare(tp): OffsetRange(starts[tp], ends[tp]) for tp in tps}

    async def offsets_at(
        self, partitions: Iterable[Partition], at: datetime
    ) -> Mapping[Partition, int | None]:
        """Return the first offset of each partition at or after a time, None if there is none."""
        at_ms = int(at.timestamp() * 1000)
        offsets = await self._client.offsets_for_times(
            {in_kafka(self._kafka, partition): at_ms for partition in partitions}
        )
        return {self._bare(tp): at.offset if at else None for tp, at in offsets.items()}

    def read_from(self, offsets: Mapping[Partition, int]) -> None:
        """Have `fetch` return the records from these offsets on."""
        read_from(self._client, {in_kafka(self._kafka, each): at for each, at in offsets.items()})

    def stop_reading(self, partition: Partition) -> None:
        """Have `fetch` return no more records of a partition."""
        self._client.pause(in_kafka(self._kafka, partition))

    async def fetch(self) -> list[PartitionRecords] | None:
        """Return the next records, None if Kafka does not have the next ones any more."""
        fetched: Mapping[TopicPartition, Sequence[Record]]
        try:
            # Records, because of `decode_as_records`.
            fetched = await self._client.getmany(  # type: ignore[assignment]
                timeout_ms=POLL_MS, max_records=FETCH_RECORDS
            )
        except OffsetOutOfRangeError:
            return None
        return [
            PartitionRecords(self._bare(tp), fetched.get(tp, ()), await self._client.position(tp))
            for tp in sorted(self._client.assignment())
        ]

    def _bare(self, tp: TopicPartition) -> Partition:
        return from_kafka(self._kafka, tp)


@contextlib.asynccontextmanager
async def reading_topic(kafka: KafkaAccess) -> AsyncIterator[CallbacksTopic]:
    """
    Yield the topic of callbacks; turn errors of Kafka into failures of the command.

    Raises:
        KafkaUnreadable: Kafka does not answer, or does not have the topic.
    """
    client = AIOKafkaConsumer(
        **kafka.options(),
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
    )
    with kafka_answers(kafka, "run the command again, it continues where it was"):
        async with started(client, KAFKA_S_MAX, kafka):
            decode_as_records(client)
            await inner_client(client).set_topics([kafka.topic(CALLBACKS.name)])
            await check_topics(kafka, [CALLBACKS.name], client)
            yield CallbacksTopic(client, kafka)
