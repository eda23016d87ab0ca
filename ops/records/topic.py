"""
Read the committed records of a topic that Kafka took in a range of time.

Kafka finds the offsets of a time by its index, so nothing before the range is read.
"""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime.batch import Partition, Record
from consumers.runtime.names import from_kafka
from consumers.runtime.record_decoding import decode_as_records
from ops.records.committed_records import check_topics, partitions_of, read_from
from ops.records.time_range import TimeRange
from schemas.client_parts import inner_client
from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.kafka_outage import outage_text
from schemas.missing_topics import TopicMissing

# The time in which Kafka must connect, and in which it must send the next records.
KAFKA_S_MAX = 15.0
POLL_MS = 500
FETCH_RECORDS = 5000


class TopicUnreadable(Exception):
    """Kafka does not answer, or does not have the topic; the text says which, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetRange:
    """The offsets of a partition from `first` until before `end`."""

    first: int
    end: int


async def records_between(
    kafka: KafkaAccess, topic: str, since: datetime, until: datetime | None
) -> AsyncGenerator[tuple[Partition, Sequence[Record]]]:
    """
    Yield the records of a range of Kafka's time in parts, each of one partition in its order.

    The range is widened by CLOCK_SLACK on both sides. `until` is None for the current end of every
    partition. Close the generator to close its connection.

    Raises:
        TopicUnreadable: Kafka does not answer, or does not have the topic.
    """
    client = AIOKafkaConsumer(
        **kafka.options(),
        isolation_level="read_committed",
        # Records that expire meanwhile are skipped.
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        async with started(client, KAFKA_S_MAX, kafka):
            decode_as_records(client)
            await inner_client(client).set_topics([kafka.topic(topic)])
            await check_topics(kafka, [topic], client)
            ranges = await _offset_ranges(client, kafka.topic(topic), since, until)
            async for part in _read(client, kafka, ranges):
                yield part
    except TopicMissing as missing:
        raise TopicUnreadable(str(missing)) from missing
    except (KafkaError, TimeoutError) as error:
        raise TopicUnreadable(outage_text(kafka, error)) from error


async def _offset_ranges(
    client: AIOKafkaConsumer, topic: KafkaName, since: datetime, until: datetime | None
) -> dict[TopicPartition, OffsetRange]:
    if not (tps := partitions_of(client, [topic])):
        raise KafkaError(f"the partitions of topic {topic} are not known")
    ends = await client.end_offsets(tps)
    wide = TimeRange(since=since, until=until or since).widened()
    firsts = await offsets_at(client, tps, wide.since, ends)
    lasts = ends if until is None else await offsets_at(client, tps, wide.until, ends)
    return {
        tp: OffsetRange(first=firsts[tp], end=min(ends[tp], lasts[tp]))
        for tp in tps
        if firsts[tp] < min(ends[tp], lasts[tp])
    }


async def offsets_at(
    client: AIOKafkaConsumer,
    tps: Sequence[TopicPartition],
    at: datetime,
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Return the first offset of each partition at or after a time, its end if there is none."""
    if not tps:
        return {}
    at_ms = max(0, int(at.timestamp() * 1000))
    answers = await client.offsets_for_times(dict.fromkeys(tps, at_ms))
    return {tp: answer.offset if (answer := answers.get(tp)) else ends[tp] for tp in tps}


async def _read(
    client: AIOKafkaConsumer, kafka: KafkaAccess, ranges: Mapping[TopicPartition, OffsetRange]
) -> AsyncGenerator[tuple[Partition, Sequence[Record]]]:
    read_from(client, {tp: offset_range.first for tp, offset_range in ranges.items()})
    unread = dict(ranges)
    position, moved_at = dict.fromkeys(ranges, 0), time.monotonic()
    while unread:
        check_cancellation()
        fetched: Mapping[TopicPartition, Sequence[Record]]
        # Records, because of `decode_as_records`.
        fetched = await client.getmany(  # type: ignore[assignment]
            *unread, timeout_ms=POLL_MS, max_records=FETCH_RECORDS
        )
        for tp, records in fetched.items():
            within = [each for each in records if each.offset < unread[tp].end]
            yield from_kafka(kafka, tp), within
        before = sum(position.values())
        for tp in list(unread):
            # The last offsets of a partition may be transaction markers.
            position[tp] = await client.position(tp)
            if position[tp] >= unread[tp].end:
                del unread[tp]
                client.pause(tp)
        if sum(position.values()) > before:
            moved_at = time.monotonic()
        elif time.monotonic() > moved_at + KAFKA_S_MAX:
            raise TimeoutError(f"no record came for {KAFKA_S_MAX:g} s")
