"""Load as forwarders make it: transactions of numbered callbacks, some of them aborted."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.builders import a_body, a_callback

from schemas.outgoing_record import main_topic_record, with_place_and_id
from schemas.topics import CALLBACKS, DEAD_LETTERS

# Some conversations, so that every partition has some of them.
PEOPLE = 500


class Load:
    """
    The records of some origins, each with a transactional producer of its own.

    The broker needs LONG_SESSION_MS: these producers do not settle what a fenced one leaves open.
    """

    def __init__(self, kafka: str, *, seed: int, origins: int = 3) -> None:
        self.aborted = 0
        self.transactions = 0
        # Origin and last sequence that was committed.
        self.last = {secrets.token_hex(16): 0 for _ in range(origins)}
        self._kafka = kafka
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._stopped = False

    @property
    def committed(self) -> int:
        """Return how many records were committed."""
        return sum(self.last.values())

    def places(self) -> set[tuple[str, int]]:
        """Return every (origin, sequence) that was committed."""
        return {(origin, n) for origin, last in self.last.items() for n in range(1, last + 1)}

    def stop(self) -> None:
        """Let `run` end after the transactions that are open."""
        self._stopped = True

    async def run(self, records: int, *, per_s: float, abort_rate: float = 0.2) -> None:
        """Commit so many records at that rate; send aborted records again, as a forwarder does."""
        share = -(-records // len(self.last))
        async with asyncio.TaskGroup() as all_origins:
            for origin in self.last:
                all_origins.create_task(
                    self._origin(origin, share, per_s / len(self.last), abort_rate)
                )

    async def _origin(self, origin: str, records: int, per_s: float, abort_rate: float) -> None:
        first, begun = self.last[origin], time.monotonic()
        async with AIOKafkaProducer(
            bootstrap_servers=self._kafka,
            transactional_id=origin,
            enable_idempotence=True,
            linger_ms=0,
        ) as producer:
            while not self._stopped and (done := self.last[origin] - first) < records:
                ahead_s = done / per_s - (time.monotonic() - begun)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                size = min(self._random.randint(1, 400), records - done)
                abort = self._random.random() < abort_rate
                await self._transaction(producer, origin, size, abort=abort)

    async def _transaction(
        self, producer: AIOKafkaProducer, origin: str, size: int, *, abort: bool
    ) -> None:
        await producer.begin_transaction()
        first = self.last[origin] + 1
        for sequence in range(first, first + size):
            person = sequence % PEOPLE
            body = a_body(MsgKey=f"{origin}-{sequence}", From_Account=f"user{person}")
            callback = a_callback(body, received_at_ms=time.time_ns() // 1_000_000)
            record = main_topic_record(callback)
            await producer.send(
                record.topic,
                record.value,
                key=record.key,
                headers=with_place_and_id(record.headers, origin, sequence),
            )
        await producer.flush()
        if abort:
            await producer.abort_transaction()
            self.aborted += size
        else:
            await producer.commit_transaction()
            self.last[origin] += size
        self.transactions += 1


async def committed_offsets(kafka: str) -> dict[int, list[int]]:
    """Return the offsets that a read_committed reader of the main topic sees, by partition."""
    partitions = [TopicPartition(CALLBACKS.name, n) for n in range(CALLBACKS.partitions)]
    offsets: dict[int, list[int]] = {tp.partition: [] for tp in partitions}
    async with _reader(kafka) as reader:
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        ends = await reader.end_offsets(partitions)
        while any([await reader.position(tp) < ends[tp] for tp in partitions]):
            for tp, records in (await reader.getmany(timeout_ms=200)).items():
                offsets[tp.partition] += [record.offset for record in records]
    return offsets


async def dead_letters(kafka: str) -> int:
    """Return the number of offsets ever written to the dead-letter topic."""
    async with _reader(kafka) as reader:
        partitions = [TopicPartition(DEAD_LETTERS.name, n) for n in range(DEAD_LETTERS.partitions)]
        return sum((await reader.end_offsets(partitions)).values())


@asynccontextmanager
async def _reader(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    reader = AIOKafkaConsumer(
        bootstrap_servers=kafka, isolation_level="read_committed", enable_auto_commit=False
    )
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()
