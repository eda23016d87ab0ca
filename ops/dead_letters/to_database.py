"""
Send dead letters of sync to its database, by the statement with which sync itself writes.

The database has each callback once, because its receipt is unique: to write it again, after a kill
before the action was noted, changes nothing. So the write comes first, then the action.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import PositionDiffers, Rejected, TookTooLong
from consumers.sync.database import DatabaseHandler
from ops.dead_letters.action_writer import ActionWriter
from ops.dead_letters.letter import DeadLetter
from ops.dead_letters.targets import RejectionLog, ResendCounts
from ops.records.callbacks_topic import reading_topic
from ops.records.same_topic import check_same_topic
from ops.sync.writing import DATABASE, DatabaseNotWritten, writing_to_sync
from schemas.dead_letter_actions import ActionResult
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.topics import CALLBACKS, DEAD_LETTERS

# Another command may send at the same moment; each of them then continues after the other.
MOVED_MAX = 20
# The row of hookline.positions that these writes move, so that two commands never write at the same
# moment. Sync does not read this topic, and `next_offset` is not an offset in it, but the number of
# callbacks that were sent so far. The name stays: commands of earlier releases move this row, too.
_RESENT = Partition(DEAD_LETTERS.name, 0)


class ToDatabase:
    """Use `sending_to_database`."""

    def __init__(
        self,
        database: DatabaseHandler,
        writer: ActionWriter,
        topic: KafkaName,
        topic_id: str | None,
    ) -> None:
        self._topic = topic
        self._topic_id = topic_id
        self._database = database
        self._writer = writer
        self._rejections = RejectionLog()
        self._next = 0
        # By partition of the topic, the offset that sync expects next.
        self._passed: dict[int, int] = {}

    async def begin(self) -> None:
        """
        Find the position.

        Raises:
            Unavailable, Stopped: the database cannot be used now.
        """
        await self._database.store_first_position(_RESENT, Position(0))
        position = await self._database.position(_RESENT)
        self._next = position.next_offset if position else 0

    async def send(self, letters: Sequence[DeadLetter]) -> ResendCounts:
        """
        Write callbacks that sync has rejected, and note the actions.

        A callback that sync has not passed yet is skipped: sync will read it by itself. That is so
        if the database was restored from an older copy. So is a dead letter without a source: it
        is not known whether sync has passed its record.

        Raises:
            Unavailable: the database does not answer; some may have been written.
            Stopped: the database refuses whatever the callbacks are.
            OtherTopic: the database is not of the pipeline whose dead letters these are.
            KafkaError, TimeoutError: an action may not have been noted.
        """
        passed = [each for each in letters if await self._has_passed(each)]
        return await self._write(passed) + ResendCounts(skipped=len(letters) - len(passed))

    async def _has_passed(self, letter: DeadLetter) -> bool:
        if letter.source is None:
            return False
        partition, offset = letter.source
        if partition not in self._passed:
            position = await self._database.position(Partition(CALLBACKS.name, partition))
            if position is None:
                raise DatabaseNotWritten(
                    f"the database has no position of sync in {CALLBACKS.name}/{partition}, where"
                    f" dead letter {letter.id} comes from: it is not the database of this sync, or"
                    " sync has not begun there. Check --postgres"
                )
            # Else the offsets of one topic would be compared with those of another one.
            check_same_topic([position], DATABASE, self._topic, self._topic_id)
            self._passed[partition] = position.next_offset
        return offset < self._passed[partition]

    async def _write(self, letters: Sequence[DeadLetter]) -> ResendCounts:
        """Write all or none; if the database rejects one of several, write the others."""
        if not letters:
            return ResendCounts()
        try:
            await self._apply(letters)
        except TookTooLong:
            if len(letters) == 1:
                raise
            return await self._write_in_halves(letters)
        except Rejected as rejected:
            if len(letters) == 1:
                await self._writer.write(letters, ActionResult.REJECTED, reason=str(rejected))
                self._rejections.note(letters, str(rejected))
                return ResendCounts(rejected=1)
            return await self._write_in_halves(letters)
        await self._writer.write(letters, ActionResult.RESENT)
        return ResendCounts(resent=len(letters))

    async def _write_in_halves(self, letters: Sequence[DeadLetter]) -> ResendCounts:
        at = len(letters) // 2
        return await self._write(letters[:at]) + await self._write(letters[at:])

    async def _apply(self, letters: Sequence[DeadLetter]) -> None:
        for _ in range(MOVED_MAX):
            try:
                await self._database.handle(self._batch(letters))
            except PositionDiffers as moved:
                self._next = moved.next_offset or 0
            else:
                self._next += len(letters)
                return
        raise DatabaseNotWritten(
            "other commands send dead letters to this database all the time; run this one again"
        )

    def _batch(self, letters: Sequence[DeadLetter]) -> Batch:
        begins_at = self._next
        records = [
            Record(begins_at + at, each.at_ms, each.key, each.value, each.headers)
            for at, each in enumerate(letters)
        ]
        return Batch(
            partition=_RESENT,
            begins_at=begins_at,
            reached=Position(begins_at + len(records)),
            records=records,
        )


@asynccontextmanager
async def sending_to_database(
    kafka: KafkaAccess, postgres: str, writer: ActionWriter
) -> AsyncIterator[ToDatabase]:
    """
    Yield the database of sync as a target.

    Raises:
        DatabaseNotWritten: it does not answer, has no tables of sync, or refuses.
        KafkaUnreadable: Kafka does not answer, or does not have the topic of callbacks.
    """
    async with reading_topic(kafka) as topic:
        topic_id = await topic.id()
    async with writing_to_sync(postgres) as database:
        target = ToDatabase(database, writer, topic.name, topic_id)
        await target.begin()
        yield target
