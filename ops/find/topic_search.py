"""Search one of the two topics for the records of a range of time."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime

from consumers.runtime.batch import Partition, Record
from ops.find.collection import DEAD_LETTER, TOPIC, CallbackCollection, Sighting
from ops.find.question import Question
from ops.find.record_filter import RecordFilter
from ops.find.sources import Extent, NotSearched, Progress
from ops.nouns import counted
from ops.records.header_texts import header_texts
from ops.records.time_range import TimeRange
from ops.records.topic import TopicUnreadable, records_between
from schemas.dead_letter import CONNECT, GROUP, STAGE
from schemas.kafka_access import KafkaAccess
from schemas.topics import DEAD_LETTERS


class TopicSearch:
    """Searches a topic for one question."""

    def __init__(
        self,
        kafka: KafkaAccess,
        topic: str,
        question: Question,
        collection: CallbackCollection,
        progress: Progress,
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._filter = RecordFilter(question)
        self._collection = collection
        self._progress = progress

    async def search(self, time_range: TimeRange) -> Extent:
        """
        Search what Kafka took in a range of time; dead letters until now.

        A record becomes a dead letter whenever a consumer gives up, so the range has no end there.

        Raises:
            NotSearched: Kafka does not answer, or does not have the topic.
        """
        count = 0
        until: datetime | None = time_range.until
        if self._topic == DEAD_LETTERS.name:
            until = None
            now = max(datetime.now(UTC), time_range.since)
            time_range = TimeRange(since=time_range.since, until=now)
        reading = records_between(self._kafka, self._topic, time_range.since, until)
        try:
            async with contextlib.aclosing(reading) as parts:
                async for partition, records in parts:
                    count += len(records)
                    self._progress(f"{self._kafka.topic(self._topic)}: {count:,} records")
                    for record in records:
                        self._add(partition, record)
        except TopicUnreadable as error:
            raise NotSearched(str(error)) from error
        return Extent(counted(count, "record"), time_range)

    def _add(self, partition: Partition, record: Record) -> None:
        headers = header_texts(record.headers)
        if self._filter.matches(headers, record.value):
            self._collection.add(headers, record.value, self._sighting(partition, record, headers))

    def _sighting(
        self, partition: Partition, record: Record, headers: Mapping[str, str]
    ) -> Sighting:
        at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        where = f"{self._kafka.topic(str(partition))} offset {record.offset}"
        if partition.topic != DEAD_LETTERS.name:
            return Sighting(
                store=TOPIC, where=where, at=at, partition=partition.number, offset=record.offset
            )
        by = headers.get(GROUP) or headers.get(CONNECT + "connector.name") or "unknown"
        note = (
            f"by {by}, {headers.get(STAGE, '')}: {headers.get(CONNECT + 'exception.message', '')}"
        )
        return Sighting(store=DEAD_LETTER, where=where, at=at, note=note)
