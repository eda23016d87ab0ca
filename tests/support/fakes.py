"""Hand-written implementations in memory of the runtime's interfaces."""

import asyncio
from collections.abc import Collection, Mapping

from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import PositionDiffers, Rejected, Unavailable
from consumers.runtime.source import FetchedRecords, KafkaUnavailable, LogIdentity, OutOfRange
from schemas.callback_record import place

FETCH_STEPS = 60


class ManualClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the present time in seconds."""
        return self.now


class MemoryTopic:
    """Partitions of records, shared by the sources of several members."""

    def __init__(self) -> None:
        self.records: dict[Partition, list[Record]] = {}
        self.committed: dict[Partition, int] = {}
        self.begins_at = 0
        # Transaction markers after the last record.
        self.markers = 0
        # Kafka's id of the topic, and the number of restarts of its brokers.
        self.id: str | None = None
        self.restarts = 0
        # Whether Kafka leaves requests about the topic unanswered.
        self.silent = False

    def recreate(self, topic_id: str, records: dict[Partition, list[Record]]) -> None:
        """Delete the topic and create it again, with other records."""
        self.id, self.records, self.begins_at = topic_id, records, 0
        self.committed = {}

    def restore(self, records: dict[Partition, list[Record]]) -> None:
        """Restore the topic from an older copy, to which records may have been added since."""
        self.records = records
        self.restarts += 1


class FakeSource:
    """One member's client of a topic: it keeps a position per partition and fetches few records."""

    def __init__(
        self, topic: MemoryTopic, fetch_max: int = 3, fetch_steps: int = FETCH_STEPS
    ) -> None:
        self._topic = topic
        self._fetch_max = fetch_max
        self._fetch_steps = fetch_steps
        self.positions: dict[Partition, int] = {}
        # The partitions of the last fetch.
        self.wanted: set[Partition] = set()

    async def fetch(self, partitions: Collection[Partition]) -> Mapping[Partition, FetchedRecords]:
        """Return up to `fetch_max` records of each partition."""
        self.wanted = set(partitions)
        # This lets every worker run until it waits for something.
        for _ in range(self._fetch_steps):
            await asyncio.sleep(0)
        wanted = [partition for partition in partitions if partition in self.positions]
        refused = {p: at for p in wanted if not self._in_range(p, at := self.positions[p])}
        if refused:
            raise OutOfRange(refused)
        fetched = {}
        for partition in wanted:
            position = self.positions[partition]
            records = self._topic.records.get(partition, [])
            batch = [r for r in records if r.offset >= position][: self._fetch_max]
            if batch:
                last = batch[-1].offset
                markers = self._topic.markers if last == records[-1].offset else 0
                self.positions[partition] = last + 1 + markers
            fetched[partition] = FetchedRecords(batch, self.positions[partition])
        return fetched

    def _in_range(self, partition: Partition, offset: int) -> bool:
        end = self.cached_end_offset(partition)
        return self._topic.begins_at <= offset and (end is None or offset <= end)

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Set the offset that is fetched next."""
        self.positions[partition] = next_offset

    def cached_end_offset(self, partition: Partition) -> int | None:
        """Return the offset after the last record and its markers."""
        records = self._topic.records.get(partition)
        return records[-1].offset + 1 + self._topic.markers if records else None

    async def committed(self, partition: Partition) -> int | None:
        """Return the group's offset."""
        await asyncio.sleep(0)
        return self._topic.committed.get(partition)

    async def log_start(self, _partition: Partition) -> int:
        """Return the topic's log start offset."""
        await asyncio.sleep(0)
        return self._topic.begins_at

    async def end_offset(self, partition: Partition) -> int:
        """Return the topic's last offset."""
        await asyncio.sleep(0)
        return self.cached_end_offset(partition) or self._topic.begins_at

    async def log_identity(self, _partition: Partition, *, since: float) -> LogIdentity:
        """Return the topic's present identity."""
        del since
        await asyncio.sleep(0)
        if self._topic.silent:
            raise KafkaUnavailable("by the test")
        return LogIdentity(self._topic.id, self._topic.restarts)

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Set the group's offset."""
        self._topic.committed[partition] = next_offset


class MemorySink:
    """A sink that stores effect and position together, and fails if the test asks for it."""

    def __init__(self) -> None:
        self.applied: dict[Partition, list[int]] = {}
        self.expects: dict[Partition, int] = {}
        self.failures: list[Exception] = []
        self.rejects: set[int] = set()
        self.failures_after_rejection: list[Exception] = []
        self.silent = False
        # The number of records in each write.
        self.batches: list[int] = []
        self._places: dict[tuple[Partition, int], tuple[str, int]] = {}
        # The last record and the topic's id of each position.
        self.last: dict[Partition, tuple[int, str, int] | None] = {}
        self.topic_ids: dict[Partition, str | None] = {}
        # Offsets of records that it rejects without naming them.
        self.chokes_on: set[int] = set()

    def put_back(self, expects: dict[Partition, int]) -> None:
        """Restore the sink to its state at these positions, as from a backup."""
        self.expects = expects
        self.applied = {
            partition: [offset for offset in offsets if offset < expects[partition]]
            for partition, offsets in self.applied.items()
            if partition in expects
        }
        self.last = {
            partition: (offsets[-1], *self._places[partition, offsets[-1]]) if offsets else None
            for partition, offsets in self.applied.items()
        }

    async def position(self, partition: Partition) -> Position | None:
        """Return the sink's position."""
        await asyncio.sleep(0)
        if self.silent:
            raise Unavailable("by the test")
        return self._position(partition)

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """Store `position`, unless there is one."""
        await asyncio.sleep(0)
        if partition not in self.expects:
            self._move(partition, position)

    async def handle(self, batch: Batch) -> None:
        """Apply the batch, or fail if the test asks for it."""
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        for record in batch.records:
            if record.offset in self.rejects:
                self.failures += self.failures_after_rejection
                self.failures_after_rejection = []
                raise Rejected(record.offset, "by the test")
        if any(record.offset in self.chokes_on for record in batch.records):
            raise Rejected(None, "one of them")
        position = self._position(batch.partition)
        if not batch.follows(position):
            raise PositionDiffers(position)
        for record in batch.records:
            self.applied.setdefault(batch.partition, []).append(record.offset)
            self._places[batch.partition, record.offset] = place(record.headers)
        self._move(batch.partition, batch.reached)
        self.batches.append(len(batch.records))

    def _position(self, partition: Partition) -> Position | None:
        if partition not in self.expects:
            return None
        return Position(
            self.expects[partition], self.last.get(partition), self.topic_ids.get(partition)
        )

    def _move(self, partition: Partition, position: Position) -> None:
        self.expects[partition] = position.next_offset
        self.last[partition] = position.last
        self.topic_ids[partition] = position.topic_id or self.topic_ids.get(partition)


class PackedRecords:
    """Records that are only counted."""

    held_bytes = 0

    async def add(self, records: list[Record]) -> None:
        """Forget the records."""


class PackingSink(MemorySink):
    """A sink that packs its records."""

    def packed_records(self, _partition: Partition) -> PackedRecords:
        """Return an empty object."""
        return PackedRecords()


class MemoryDeadLetters:
    """A dead-letter topic that keeps each record's offset and its number of failed attempts."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.attempts: list[int] = []
        # The number of calls that fail next.
        self.away = 0

    async def send(
        self,
        _partition: Partition,
        record: Record,
        _rejected: Rejected,
        *,
        attempts: int,
        first_failed_at_ms: int,
    ) -> None:
        """Keep the record's offset."""
        assert first_failed_at_ms > 0
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise KafkaUnavailable("by the test")
        self.offsets.append(record.offset)
        self.attempts.append(attempts)
