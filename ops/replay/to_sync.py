"""
Replay callbacks to the database of sync, by the statement with which sync itself writes.

The database has each callback once, because its receipt is unique, so one that is there stays as it
is. The position of the replay moves with the rows, in the same statement: a replay that was killed
continues there, and two that run at the same time do not write the same records. Once the database
has rejected a record, the position of its partition stays before it, so that the next run tries it
again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import PositionDiffers, Rejected, TookTooLong, Unavailable
from consumers.sync.database import DatabaseHandler
from ops.failure import Failure
from ops.records.same_topic import check_same_topic
from ops.replay.source import Part
from ops.replay.sync_tables import SyncTables, check_may_wait, passed_in
from ops.replay.target import OFFSETS_UNSAVED_MAX, RecordState, RejectionLog, ReplayCounts
from ops.sync.writing import DATABASE, writing_to_sync
from ops.terminal import say
from schemas.clients import check_cancellation
from schemas.kafka_names import KafkaName
from schemas.topics import CALLBACKS

# Waits for the database, growing up to the second one.
WAIT_S = 0.5
WAIT_S_MAX = 30.0


class ReplayEnded(Failure):
    """The positions of the replay were removed or are of another topic; the text says why."""


class ToSync:
    """Use `replaying_to_sync`."""

    def __init__(
        self,
        database: DatabaseHandler,
        tables: SyncTables,
        name: str,
        sync_positions: Mapping[int, Position],
    ) -> None:
        self._database = database
        self._tables = tables
        # A topic in Kafka cannot have this name, because of the colon.
        self._topic = f"replay:{name}"
        # Those when the command began: sync itself writes the records after them.
        self._sync_positions = sync_positions
        self._rejections = RejectionLog()
        self._at: dict[Partition, int] = {}
        # Partitions whose position stays where it is, because a record after it was rejected.
        self._rejecting: set[Partition] = set()

    def check_topic(self, topic: KafkaName, topic_id: str | None) -> None:
        """
        Check that sync reads the topic with this id.

        Raises:
            OtherTopic: it reads another one.
        """
        check_same_topic(self._sync_positions.values(), DATABASE, topic, topic_id)

    async def positions(self) -> Mapping[Partition, Position]:
        """Return the positions of an interrupted replay."""
        stored = await self._tables.positions(self._topic)
        return {Partition(CALLBACKS.name, number): position for number, position in stored.items()}

    async def states(self, part: Part) -> Sequence[RecordState]:
        """Return the state of each record."""
        if not part.records:
            return []
        lacking = await self._tables.lacking(part.records)
        passed = passed_in(self._sync_positions, part.partition, part.topic_id)
        return [
            RecordState.PENDING
            if passed is not None and record.offset >= passed
            else lacking.get(number, RecordState.DONE)
            for number, record in enumerate(part.records)
        ]

    async def write(self, part: Part) -> ReplayCounts:
        """
        Write the records that sync has passed, and move the position after all of them.

        The position stays before the first record of the partition that was rejected.

        Raises:
            ReplayEnded: another command has ended this replay, or the topic is another one.
            DatabaseNotWritten: sync has no position in the partition, or a right is missing.
            Stopped: the database refuses whatever the records are.
        """
        wanted = part.records
        if wanted:
            passed = passed_in(self._sync_positions, part.partition, part.topic_id)
            wanted = [each for each in wanted if passed is None or each.offset < passed]
        pending = ReplayCounts(pending=len(part.records) - len(wanted))
        unsaved = part.next_offset - self._at.get(part.partition, 0)
        if not wanted and (unsaved < OFFSETS_UNSAVED_MAX or part.partition in self._rejecting):
            return pending
        if part.partition not in self._at:
            await self._begin(part)
        return pending + await self._write(part._replace(records=wanted))

    async def finish(self) -> None:
        """Delete the positions."""
        await self._tables.drop_positions(self._topic)
        self._at.clear()

    async def _begin(self, part: Part) -> None:
        row = self._row(part.partition)
        await self._database.store_first_position(row, Position(0, None, part.topic_id))
        self._move(part, await self._database.position(row))

    async def _write(self, part: Part) -> ReplayCounts:
        """Write all or none; if the database rejects one of several, write the others."""
        before = self._at[part.partition]
        records = [each for each in part.records if each.offset >= before]
        # Another command of the same replay has written the others.
        counts = ReplayCounts(unchanged=len(part.records) - len(records))
        if part.next_offset <= before:
            return counts
        part = part._replace(records=records)
        try:
            lacking = await self._apply(part)
        except Rejected as rejected:
            return counts + await self._without(part, rejected)
        except TookTooLong:
            return counts + await self._in_halves(part)
        except PositionDiffers as differs:
            self._move(part, differs.position)
            return counts + await self._write(part)
        if part.partition not in self._rejecting:
            self._at[part.partition] = part.next_offset
        return counts + ReplayCounts(written=lacking, unchanged=len(records) - lacking)

    async def _without(self, part: Part, rejected: Rejected) -> ReplayCounts:
        """Write a part in halves, or without its only record."""
        if len(part.records) > 1:
            return await self._in_halves(part)
        self._rejections.note(part.partition, part.records[0], str(rejected))
        self._rejecting.add(part.partition)
        return ReplayCounts(rejected=1)

    async def _in_halves(self, part: Part) -> ReplayCounts:
        at = len(part.records) // 2
        first = part._replace(records=part.records[:at], next_offset=part.records[at].offset)
        second = part._replace(records=part.records[at:])
        return await self._write(first) + await self._write(second)

    async def _apply(self, part: Part) -> int:
        """
        Have the handler write a part, and return how many records the database lacked.

        Wait while the database does not answer.

        Raises:
            TookTooLong: the part has several records, and a smaller one may be written.
        """
        at = self._at[part.partition]
        batch = Batch(
            partition=self._row(part.partition),
            begins_at=at,
            reached=Position(
                at if part.partition in self._rejecting else part.next_offset, None, part.topic_id
            ),
            records=part.records,
        )
        wait_s = WAIT_S
        while True:
            check_cancellation()
            try:
                lacking = len(await self._tables.lacking(part.records))
                await self._database.handle(batch)
            except Unavailable as error:
                if isinstance(error, TookTooLong) and len(part.records) > 1:
                    raise
                # Sync itself waits for a right or a table that is missing; a command must not.
                check_may_wait(error.__cause__)
                say(f"{error}; waiting for the database")
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, WAIT_S_MAX)
            else:
                return lacking

    def _move(self, part: Part, position: Position | None) -> None:
        """Continue at the position that is stored."""
        if position is None:
            raise ReplayEnded(
                "another command has finished this replay, or has started it over; run this one"
                " again: it writes only callbacks that are not there"
            )
        if not position.may_continue_in(part.topic_id):
            raise ReplayEnded(
                f"the interrupted replay was of an earlier topic, with the id {position.topic_id};"
                " add --start-over"
            )
        self._at[part.partition] = position.next_offset

    def _row(self, partition: Partition) -> Partition:
        return Partition(self._topic, partition.number)


@asynccontextmanager
async def replaying_to_sync(postgres: str, name: str) -> AsyncIterator[ToSync]:
    """
    Yield the database of sync as the target of the replay `name`.

    Raises:
        DatabaseNotWritten: it does not answer, has no tables of sync, or refuses.
    """
    tables = SyncTables(postgres)
    async with writing_to_sync(postgres) as database, contextlib.aclosing(tables):
        yield ToSync(database, tables, name, await tables.positions(CALLBACKS.name))
