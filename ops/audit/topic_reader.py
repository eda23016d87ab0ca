"""Read the topics, each time from where the last read ended, over a new connection."""

import contextlib

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from ops.audit.since import Since
from ops.audit.sources import ReadAgain, SourceUnavailable
from ops.audit.tally import Tally
from ops.records.committed_records import (
    RecordsDeleted,
    partitions_of,
    reader_of_existing,
)
from ops.records.topic import offsets_at
from ops.records.up_to_ends import fetches_up_to
from schemas.dead_letter_actions import decoded
from schemas.kafka_access import KafkaAccess
from schemas.kafka_outage import outage_text
from schemas.missing_topics import TopicMissing
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS, TOPICS


class TopicReader:
    """Reads each record of the topics once into a tally."""

    def __init__(self, kafka: KafkaAccess, since: Since | None = None) -> None:
        self._kafka = kafka
        self._since = since
        self._next_offsets: dict[TopicPartition, int] = {}

    async def read(self, tally: Tally) -> None:
        """
        Read from where the last call ended up to the current end offsets.

        Raises:
            SourceUnavailable: Kafka does not answer, or lacks a topic. The next call goes on.
            ReadAgain: Kafka does not have the next records any more.
        """
        try:
            # A cancelled task of the client is an outage, too.
            async with reader_of_existing(self._kafka, *(topic.name for topic in TOPICS)) as client:
                await self._read(client, tally)
        except TopicMissing as missing:
            raise SourceUnavailable(str(missing)) from missing
        except RecordsDeleted as deleted:
            # Their lines in the archive were not compared with this beginning of the topic.
            raise ReadAgain(str(deleted)) from deleted
        except (KafkaError, TimeoutError) as error:
            raise SourceUnavailable(outage_text(self._kafka, error)) from error

    async def _read(self, client: AIOKafkaConsumer, tally: Tally) -> None:
        partitions = partitions_of(client, (self._kafka.topic(topic.name) for topic in TOPICS))
        log_starts = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        begins = log_starts
        if self._since is not None:
            begins = await offsets_at(client, partitions, self._since.read_from, ends)
        for tp in partitions:
            next_offset = self._next_offsets.setdefault(tp, begins[tp])
            if not log_starts[tp] <= next_offset <= ends[tp]:
                raise ReadAgain(
                    f"{tp.topic}/{tp.partition} was read up to offset {next_offset}, and has"
                    f" offsets {log_starts[tp]} to {ends[tp]} now"
                )
        main_topic = self._kafka.topic(CALLBACKS.name)
        tally.note_log_starts(
            {tp.partition: at for tp, at in log_starts.items() if tp.topic == main_topic}
        )
        async with contextlib.aclosing(fetches_up_to(client, self._next_offsets, ends)) as fetches:
            async for tp, records in fetches:
                for record in records:
                    self._add(tp, record, tally)

    def _add(self, tp: TopicPartition, record: ConsumerRecord[bytes, bytes], tally: Tally) -> None:
        topic = self._kafka.bare(tp.topic)
        if topic == ACTIONS.name:
            if (taken := decoded(record.value)) is not None:
                tally.add_action(taken)
            return
        add = tally.add_dead_letter if topic == DEAD_LETTERS.name else tally.add_record
        add(tp.partition, record.offset, record.headers, record.value or b"")
