"""Read the parts of a source, and count them, or have the target apply them at a limited rate."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

from consumers.runtime.batch import Partition
from ops.archive.segments import reading_archive
from ops.failure import ExitCode, Failure
from ops.records.callbacks_topic import reading_topic
from ops.replay.from_archive import archive_source
from ops.replay.from_topic import topic_source
from ops.replay.preview import Preview
from ops.replay.selection import ReplaySelection, SourceKind
from ops.replay.source import Part, ReplaySource
from ops.replay.target import ReplayCounts, ReplayTarget
from ops.terminal import say
from ops.throttle import Throttle
from schemas.clients import check_cancellation
from schemas.kafka_access import KafkaAccess

# Bounds of the records that a target gets at a time.
RECORDS_MAX = 1000
BYTES_MAX = 4 << 20
# Stop after so many that were rejected, if none was accepted.
REJECTED_MAX = 100

Advance = Callable[[int], None]


class Rejecting(Failure):
    """The consumer's sink rejected callbacks; the text has their number."""

    exit_code = ExitCode.DEAD_LETTERED


@asynccontextmanager
async def reading_source(
    selection: ReplaySelection, kafka: KafkaAccess, archive_url: str | None
) -> AsyncIterator[ReplaySource]:
    """
    Yield the source of a selection, as far as it is filled now.

    Raises:
        Failure: the source does not answer, or there is none.
    """
    if selection.source is SourceKind.TOPIC:
        async with reading_topic(kafka) as topic:
            yield await topic_source(topic, selection)
    else:
        with reading_archive(archive_url or "") as store:
            yield await archive_source(store, selection)


async def positions_to_continue(
    source: ReplaySource, target: ReplayTarget
) -> Mapping[Partition, int] | None:
    """
    Return the positions of an interrupted replay; none if none was interrupted.

    Return None if the topic was created again meanwhile: its offsets are of other records, so the
    positions have to be removed.
    """
    stored = await target.positions()
    for partition, position in stored.items():
        topic_id = await source.topic_id(partition)
        if not position.may_continue_in(topic_id):
            say(
                f"the position of an interrupted replay in partition {partition.number} is of"
                f" another topic, with the id {position.topic_id}; the id is {topic_id} now. So the"
                " replay begins again"
            )
            return None
    return {partition: each.next_offset for partition, each in stored.items() if each.next_offset}


async def preview(
    source: ReplaySource,
    target: ReplayTarget,
    positions: Mapping[Partition, int],
    advance: Advance,
) -> Preview:
    """Count what a replay from `positions` on would do."""
    result = Preview()
    async with contextlib.aclosing(source.parts(positions)) as parts:
        async for part in parts:
            for piece in _pieces(part, RECORDS_MAX):
                check_cancellation()
                result.add(piece.records, await target.states(piece))
            advance(part.size)
    return result


async def replay(
    source: ReplaySource,
    target: ReplayTarget,
    positions: Mapping[Partition, int],
    throttle: Throttle,
    advance: Advance,
) -> ReplayCounts:
    """
    Have the target apply all parts from `positions` on, and forget the positions at the end.

    Raises:
        Rejecting: the first callbacks were rejected, and none was accepted.
        Failure: the source or the target cannot be used; the same command continues.
    """
    counts = ReplayCounts()
    async with contextlib.aclosing(source.parts(positions)) as parts:
        async for part in parts:
            for piece in _pieces(part, min(RECORDS_MAX, throttle.batch_max)):
                check_cancellation()
                await throttle.wait()
                written = await target.write(piece)
                throttle.count(written.written + written.rejected)
                counts += written
                _check_accepted(counts)
                advance(piece.size)
    await target.finish()
    return counts


def _pieces(part: Part, records_max: int) -> Iterator[Part]:
    """Yield a part in pieces of bounded number and size; the last one has its progress."""
    records = part.records
    first, size = 0, 0
    for at, record in enumerate(records):
        size += len(record.value)
        if at + 1 < len(records) and (at + 1 - first >= records_max or size >= BYTES_MAX):
            yield part._replace(
                records=records[first : at + 1], next_offset=records[at + 1].offset, size=0
            )
            first, size = at + 1, 0
    yield part._replace(records=records[first:])


def _check_accepted(counts: ReplayCounts) -> None:
    if counts.rejected >= REJECTED_MAX and not counts.written + counts.unchanged:
        raise Rejecting(
            f"the first {counts.rejected} callbacks were rejected, and none was accepted, so the"
            " others were not tried; fix the cause, then run the command again"
        )
