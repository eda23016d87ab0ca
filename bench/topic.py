"""Count the records that readers see in Kafka, by reading them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import CALLBACKS


class Tail:
    """Reads the records since the last call. Offsets cannot count them: markers take some, too."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._offsets: dict[TopicPartition, int] = {}

    def skip(self) -> None:
        """Skip the records that are there."""
        asyncio.run(self._skip())

    def count(self, expected: int, *, patience_s: float) -> tuple[int, int]:
        """
        Return the number of new records, and of different ones among them.

        Waits for the expected number, or until no record has come for `patience_s`.
        """
        count, seen = asyncio.run(self.read(expected, patience_s))
        return count, len(seen)

    async def _skip(self) -> None:
        async with self._reader() as reader:
            self._offsets = await reader.end_offsets(list(reader.assignment()))

    async def read(self, expected: int, patience_s: float) -> tuple[int, set[int]]:
        """Return the number of new records and the hash of each value; waits as `count` does."""
        # A hash of 64 bits suffices here, and a body is long.
        count, seen = 0, set[int]()
        deadline = time.monotonic() + patience_s
        async with self._reader() as reader:
            for partition, offset in self._offsets.items():
                reader.seek(partition, offset)
            while True:
                ends = await reader.end_offsets(list(reader.assignment()))
                while any([await reader.position(tp) < end for tp, end in ends.items()]):
                    for records in (await reader.getmany(timeout_ms=100)).values():
                        count += len(records)
                        seen.update(hash(record.value) for record in records)
                        deadline = time.monotonic() + patience_s
                    if time.monotonic() > deadline:
                        break
                if count >= expected or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.05)
            self._offsets = {tp: await reader.position(tp) for tp in reader.assignment()}
        return count, seen

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        reader = AIOKafkaConsumer(
            CALLBACKS.name,
            bootstrap_servers=self._bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            await reader.start()
            yield reader
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.stop(), 5)
