"""
Observe when callbacks become readable in Kafka, PostgreSQL and Valkey, with little work.

Kafka is read by a `read_committed` consumer. A sink writes a callback's effect and its progress in
one write, so it is enough to poll the progress: in PostgreSQL the position of each partition, in
Valkey the number of callbacks of the origin that are counted in each partition. A change is seen
after it became visible, by at most the time between two polls (`Observer.blind_s`).
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import psycopg
from aiokafka import AIOKafkaConsumer
from valkey.asyncio import Valkey

from bench.latency.steps import Steps
from bench.latency.system import System
from consumers.counters import layout
from schemas.callback_record import TIME, place
from schemas.topics import CALLBACKS

POLL_S = 0.005
FETCH_MS = 200
KAFKA, POSTGRES, COUNTS = "Kafka", "PostgreSQL", "counts"
PLACES = (KAFKA, POSTGRES, COUNTS)


class Seen(NamedTuple):
    """A record that the reader of Kafka has got. `received` is the header `ce_time`."""

    offset: int
    origin: str
    sequence: int
    received: bytes
    readable_at: float


Progress = dict[int, Steps]


class Observer:
    """Observes one run. Before it, everything must be in all sinks; `records` by partition."""

    def __init__(self, kafka: AIOKafkaConsumer, postgres_pid: int) -> None:
        # The server process of the polls, whose CPU time is not the system's.
        self.postgres_pid = postgres_pid
        self.records: dict[int, list[Seen]] = defaultdict(list)
        self.positions: Progress = defaultdict(Steps)
        self.applied: Progress = defaultdict(Steps)
        self.blind_s: list[float] = []
        self._kafka = kafka
        self._applied_before: dict[int, int] = {}
        self._ended = False

    def begin(self) -> None:
        """Take what is counted now as counted before the run."""
        self._applied_before = {number: steps.last for number, steps in self.applied.items()}

    def end(self) -> None:
        """Let `read` and `poll` return. Clients may ignore a cancellation."""
        self._ended = True

    def lacks(self, stored: int) -> list[str]:
        """Return the places in which some of the `stored` callbacks of the run are not seen yet."""
        readable = sum(map(len, self.records.values()))
        counted = sum(steps.last for steps in self.applied.values())
        counted -= sum(self._applied_before.values())
        arrived = {
            KAFKA: readable >= stored,
            POSTGRES: all(
                self.positions[number].last > records[-1].offset
                for number, records in self.records.items()
            ),
            COUNTS: counted >= max(stored, readable),
        }
        return [name for name in PLACES if not arrived[name]]

    def latencies_s(self) -> dict[str, list[float]]:
        """
        Return the latencies in each place, in order of receipt.

        Raises:
            IndexError: a record is not in all places.
        """
        rows = sorted(self._times())
        return {name: [row[at] - row[0] for row in rows] for at, name in enumerate(PLACES, start=1)}

    def _times(self) -> Iterator[tuple[float, float, float, float]]:
        for number, records in self.records.items():
            counted = self._applied_before.get(number, 0)
            for index, record in enumerate(records, start=1):
                yield (
                    datetime.fromisoformat(record.received.decode()).timestamp(),
                    record.readable_at,
                    # A position is the offset after the last record.
                    self.positions[number].time_of(record.offset + 1),
                    self.applied[number].time_of(counted + index),
                )

    async def read(self) -> None:
        """Read Kafka until `end`."""
        while not self._ended:
            fetched = await self._kafka.getmany(timeout_ms=FETCH_MS)
            now = time.time()
            for tp, records in fetched.items():
                self.records[tp.partition] += [
                    Seen(r.offset, *place(r.headers), dict(r.headers)[TIME], now) for r in records
                ]

    async def poll(self, ask: Callable[[], Awaitable[Mapping[int, int]]], into: Progress) -> None:
        """Ask for the progress again and again until `end`."""
        asked_before = time.time()
        while not self._ended:
            asked = time.time()
            reached = await ask()
            now = time.time()
            for number, value in reached.items():
                into[number].note(value, now)
            # A change just after the last answer was made is seen now.
            self.blind_s.append(now - asked_before)
            asked_before = asked
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def observing(system: System) -> AsyncIterator[Observer]:
    """Yield an observer that observes until exit. An error of it is raised there."""
    async with contextlib.AsyncExitStack() as stack:
        kafka = AIOKafkaConsumer(
            CALLBACKS.name,
            bootstrap_servers=system.kafka,
            isolation_level="read_committed",
            auto_offset_reset="latest",
            enable_auto_commit=False,
        )
        stack.push_async_callback(kafka.stop)
        await kafka.start()
        await kafka.seek_to_end()
        for tp in kafka.assignment():
            await kafka.position(tp)
        postgres = await psycopg.AsyncConnection.connect(system.postgres, autocommit=True)
        stack.push_async_callback(postgres.close)
        valkey: Valkey = Valkey.from_url(system.valkey)
        stack.push_async_callback(valkey.aclose)
        prefix = f"{system.spool_end().origin}/{CALLBACKS.name}/".encode()

        async def positions() -> Mapping[int, int]:
            cursor = await postgres.execute(
                "select partition, next_offset from hookline.positions where topic = %s",
                (CALLBACKS.name,),
            )
            return dict(await cursor.fetchall())

        async def applied() -> Mapping[int, int]:
            fields: dict[bytes, bytes] = await valkey.hgetall(layout.applied(1))  # type: ignore[misc]  # typed for both of its clients
            return {
                int(name.removeprefix(prefix)): int(count)
                for name, count in fields.items()
                if name.startswith(prefix)
            }

        observer = Observer(kafka, postgres.info.backend_pid)
        for number, count in (await applied()).items():
            observer.applied[number].note(count, time.time())
        observer.begin()
        tasks = [
            asyncio.create_task(observer.read()),
            asyncio.create_task(observer.poll(positions, observer.positions)),
            asyncio.create_task(observer.poll(applied, observer.applied)),
        ]
        try:
            yield observer
        finally:
            observer.end()
            await asyncio.gather(*tasks)
