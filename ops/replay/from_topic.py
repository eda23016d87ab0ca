"""Read the selected callbacks from the topic."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping

from consumers.runtime.batch import Partition, Record
from ops.records.callbacks_topic import KAFKA_S_MAX, CallbacksTopic, OffsetRange
from ops.records.kafka_answers import KafkaUnreadable
from ops.replay.selection import ReplaySelection
from ops.replay.source import Part, SourceIncomplete
from schemas.clients import check_cancellation


class TopicSource:
    """Use `topic_source`."""

    def __init__(
        self,
        topic: CallbacksTopic,
        topic_id: str | None,
        ranges: Mapping[Partition, OffsetRange],
        selects: Callable[[Record], bool],
    ) -> None:
        self._topic = topic
        self._topic_id = topic_id
        self._ranges = ranges
        self._selects = selects
        self.notes: list[str] = []

    async def topic_id(self, _: Partition) -> str | None:
        """Return Kafka's id of the topic."""
        return self._topic_id

    async def size(self, positions: Mapping[Partition, int]) -> int:
        """Return the number of offsets."""
        return sum(
            max(0, each.end - max(each.start, positions.get(partition, 0)))
            for partition, each in self._ranges.items()
        )

    async def parts(self, positions: Mapping[Partition, int]) -> AsyncGenerator[Part]:
        """
        Yield the records as they are fetched.

        Raises:
            SourceIncomplete: Kafka has deleted records that were not read yet.
            KafkaUnreadable: Kafka sends no records.
        """
        at = {p: max(each.start, positions.get(p, 0)) for p, each in self._ranges.items()}
        unread = {p for p, offset in at.items() if offset < self._ranges[p].end}
        self._topic.read_from({p: at[p] for p in unread})
        moved_at = time.monotonic()
        while unread:
            check_cancellation()
            if (fetched := await self._topic.fetch()) is None:
                raise SourceIncomplete(
                    "Kafka has deleted records of the range before they were read; the archive has"
                    " them: run the command with --from archive"
                )
            for partition, records, next_offset in fetched:
                end = min(next_offset, self._ranges[partition].end)
                if end <= at[partition]:
                    continue
                selected = [r for r in records if r.offset < end and self._selects(r)]
                yield Part(partition, selected, end, self._topic_id, end - at[partition])
                # The time of the caller does not count.
                at[partition], moved_at = end, time.monotonic()
                if end == self._ranges[partition].end:
                    unread.remove(partition)
                    self._topic.stop_reading(partition)
            if time.monotonic() > moved_at + KAFKA_S_MAX:
                raise KafkaUnreadable(
                    f"no record came from Kafka for {KAFKA_S_MAX:g} s; run the command again, it"
                    " continues"
                )


async def topic_source(topic: CallbacksTopic, selection: ReplaySelection) -> TopicSource:
    """Return the topic as a source, with the offsets that it has now."""
    kept = await topic.ranges()
    wide = selection.time_range.widened()
    starts = await topic.offsets_at(kept, wide.since) if selection.since else {}
    ends = await topic.offsets_at(kept, wide.until) if selection.until else {}
    ranges = {}
    for partition, each in kept.items():
        start = _offset(starts, partition, each.start, each.end)
        end = _offset(ends, partition, each.end, each.end)
        ranges[partition] = OffsetRange(max(start, each.start), min(end, each.end))
    source = TopicSource(topic, await topic.id(), ranges, selection.selects())
    cut = [p for p, each in kept.items() if 0 < each.start == ranges[p].start < ranges[p].end]
    if cut:
        source.notes.append(
            f"Kafka has deleted the first records of {len(cut)} of {len(kept)} partitions, up to"
            f" offset {kept[cut[0]].start} of {cut[0]}. If some of them are of the range, use"
            " --from archive"
        )
    return source


def _offset(
    found: Mapping[Partition, int | None], partition: Partition, otherwise: int, end: int
) -> int:
    """Return the offset of a time; the end if no record is so late."""
    if partition not in found:
        return otherwise
    offset = found[partition]
    return end if offset is None else offset
