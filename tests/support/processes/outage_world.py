"""Kafka, an ingress, every consumer and senders that never stop, for tests of outages."""

import contextlib
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.archive import reader
from support.kafka.broker import Broker, running_broker
from support.kafka.parts import in_topic
from support.kafka.topic_proof import Topic
from support.processes.blackbox import hookline
from support.processes.consumer import Consumer
from support.processes.ingress import Ingress, until
from support.processes.load import committed_offsets
from support.processes.runtime_copy import with_runtime
from support.processes.senders import Senders
from support.sync_tables import receipts
from valkey import Valkey

from schemas.topics import DEAD_LETTERS

SUBSCRIBER = Path(__file__).parents[3] / "examples/subscriber/subscriber.py"
# The topics exist all the time.
WRONG_ADVICE = "hookline topics apply"
SEGMENTS: dict[str, Any] = {"segment_bytes_max": 64 << 10, "segment_age_s": 0.5}


class World:
    """Use `running_world`. Tests cause outages by `broker` and by freezing `consumers`."""

    def __init__(
        self, directory: Path, broker: Broker, topic: Topic, *, postgres: str, valkey: str
    ) -> None:
        self.broker = broker
        self.ingress = Ingress(directory / "spools", broker.address)
        # It is killed before the first outage, so that the other ingress adopts its spool.
        self.dying = Ingress(directory / "spools", broker.address)
        self._archive = directory / "archive"
        self._days = directory / "days.db"
        self._postgres = postgres
        self._valkey = valkey
        self._topic = topic
        self._ok: list[str] = []

        def member(name: str, **more: Any) -> Consumer:
            return Consumer(name, broker.address, directory / f"{name}.log", **more)

        self.consumers = [
            member("archive", url=self._archive, **SEGMENTS),
            member("sync", postgres=postgres),
            member("counters", valkey=valkey),
            member("subscriber", file=self._days, env=with_runtime({})),
        ]
        self.consumers[-1].command = [sys.executable, str(SUBSCRIBER)]

    async def start(self) -> None:
        """Start every process."""
        for consumer in self.consumers:
            consumer.launch()
        await self.ingress.start()

    def end(self) -> None:
        """Kill every process but the broker."""
        for consumer in self.consumers:
            consumer.kill()
        self.ingress.kill()
        self.dying.kill()

    @contextlib.asynccontextmanager
    async def traffic(self) -> AsyncIterator[Senders]:
        """Send callbacks for the time of the block."""
        async with Senders(self.ingress.port, connections=4, pause_s=0.1) as senders:
            await senders.until_more_ok(100)
            yield senders
        self._ok += senders.ok
        assert (senders.refused, senders.unanswered) == ([], [])

    async def leave_a_spool(self) -> None:
        """Send callbacks to a second ingress and kill it, while Kafka is away."""
        await self.dying.start()
        async with Senders(self.dying.port, connections=4) as senders:
            await senders.until_more_ok(100)
            self.dying.kill()
        self._ok += senders.ok

    async def _forwarded(self) -> int:
        return int((await self.ingress.status())["forwarded_sequence"])

    async def progress(self) -> dict[str, int]:
        """Return the number of records in each sink, and how many the ingress has forwarded."""
        return {
            "ingress": await self._forwarded(),
            "archive": reader.count(self._archive).total(),
            "sync": receipts(self._postgres),
            "counters": sum(self._hash("applied").values()),
            "subscriber": self._counted(),
        }

    def assert_all_run(self) -> None:
        """Assert that no process has ended."""
        for process in self.consumers:
            assert process.runs, f"{process.name} ended: {process.log.read_text()[-3000:]}"
        assert self.ingress.process.poll() is None, self.ingress.log.read_text()[-3000:]

    async def until_all_continue(self) -> dict[str, float]:
        """Return after how many seconds from now each process had made progress."""
        begun, before = time.monotonic(), await self.progress()
        took_s: dict[str, float] = {}

        async def all_continue() -> bool:
            self.assert_all_run()
            for name, count in (await self.progress()).items():
                if count > before[name]:
                    took_s.setdefault(name, round(time.monotonic() - begun, 1))
            return len(took_s) == len(before)

        try:
            await until(all_continue, "all processes carry on")
        except AssertionError as error:
            raise AssertionError(f"{error}; carried on: {took_s}") from error
        return took_s

    async def proof(self) -> str:
        """Wait until all has arrived; assert that each OK is in the topic and every sink once."""
        await self.ingress.until_forwarded()
        await until(self._nothing_waits, "every spool is empty")
        proof = await self._topic.proof(self._ok)
        proof.assert_holds()
        topic = await committed_offsets(self.broker.address)
        everything = sum(map(len, topic.values()))
        await reader.until_archived(lambda: reader.local(self._archive), topic)
        for name in ("sync", "counters", "subscriber"):

            async def is_complete(name: str = name) -> bool:
                return (await self.progress())[name] >= everything

            await until(is_complete, f"{name} has {everything}")
        self.assert_all_run()
        counts = await self.progress()
        del counts["ingress"], counts["archive"]
        assert set(counts.values()) == {everything}, (counts, everything)
        # If one number is missing and another is doubled, the count is right but the sum is wrong.
        for origin, applied in self._hash("applied").items():
            assert self._hash("sequence-sums")[origin] == applied * (applied + 1) // 2
        assert await in_topic(self.broker.address, None, DEAD_LETTERS.name) == []
        address = f"http://127.0.0.1:{self.ingress.admin_port}"
        hookline(
            *("audit", "--kafka", self.broker.address, "--ingress", address),
            *("--archive", str(self._archive), "--postgres", self._postgres),
        )
        return f"{proof}; {everything} in the topic and in each of 4 sinks; audit agrees"

    def complaints(self) -> dict[str, int]:
        """
        Return how many tracebacks, unclosed clients, unread errors and wrong advice the logs have.

        If a task of aiokafka has ended, the log of the outage has its traceback: that is expected.
        """
        marks = ("Traceback", "never retrieved", "Unclosed", "was destroyed", WRONG_ADVICE)
        logs = [*(consumer.log for consumer in self.consumers), self.ingress.log]
        return {
            f"{log.stem}: {mark}": times
            for log in logs
            for mark in marks
            if (times := _unexpected(log.read_text(errors="replace")).count(mark))
        }

    async def _nothing_waits(self) -> bool:
        return all(not spool["rows"] for spool in (await self.ingress.status())["spools"])

    def _hash(self, name: str) -> dict[str, int]:
        by_origin: dict[str, int] = {}
        with Valkey.from_url(self._valkey, decode_responses=True) as client:
            for key, number in client.hgetall(f"hookline:1:{name}").items():
                origin = key.split("/")[0]
                by_origin[origin] = by_origin.get(origin, 0) + int(number)
        return by_origin

    def _counted(self) -> int:
        with contextlib.closing(sqlite3.connect(self._days, timeout=180)) as days:
            try:
                row = days.execute("select coalesce(sum(callbacks), 0) from days").fetchone()
            except sqlite3.OperationalError:
                return 0  # the consumer has not created its tables yet
            return int(row[0])


def _unexpected(log: str) -> str:
    """Return a log without its entries that say that Kafka is away, unless by a missing topic."""
    entries = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", log)
    return "".join(
        entry for entry in entries if "waits for Kafka" not in entry or WRONG_ADVICE in entry
    )


@contextlib.asynccontextmanager
async def running_world(directory: Path, *, postgres: str, valkey: str) -> AsyncIterator[World]:
    """Yield a world in which everything runs; on exit every process is gone."""
    with running_broker(directory / "kafka") as broker:
        await broker.make_topics()
        topic = await Topic.from_now(broker.address)
        world = World(directory, broker, topic, postgres=postgres, valkey=valkey)
        try:
            await world.start()
            yield world
        finally:
            world.end()
