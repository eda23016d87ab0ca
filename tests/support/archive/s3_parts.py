"""Run a broker, an S3 server, an archive member, the network between these two, and load."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.archive import reader
from support.archive.s3_server import BUCKET, S3Server, running_s3
from support.kafka.broker import LONG_SESSION_MS, Broker, running_broker
from support.kafka.tcp_proxy import TcpProxy, tcp_proxy
from support.processes.blackbox import hookline
from support.processes.consumer import Consumer, members
from support.processes.ingress import until
from support.processes.load import Load, committed_offsets

# The member waits at most 30 s between two attempts, and an attempt may be in progress.
BACK_S_MAX = 180.0
SETTINGS: dict[str, Any] = {"segment_bytes_max": 64 << 10, "segment_age_s": 0.5}


@dataclass(kw_only=True)
class Parts:
    """The running parts; made by `parts`."""

    broker: Broker
    s3: S3Server
    network: TcpProxy
    member: Consumer
    load: Load
    loading: asyncio.Task[None]
    bucket: str

    async def until_it_writes(self) -> float:
        """Wait until the member writes and no partition is paused; return the seconds."""
        before = (await self.member.measure()).get("batches_total", 0)

        async def writes() -> bool:
            now = await self.member.measure()
            return now.get("batches_total", 0) > before + 5 and not now["partitions_backing_off"]

        return await until(writes, f"the archive writes; see {self.member.log}", BACK_S_MAX)

    async def until_paused(self) -> float:
        """Wait until a partition is paused because of the sink; return the seconds."""

        async def waits() -> bool:
            return (await self.member.measure()).get("partitions_backing_off", 0) > 0

        return await until(waits, f"a partition waits; see {self.member.log}")

    async def proof(self) -> reader.Proof:
        """
        End the load, wait until all records are in the bucket, and compare it with the topic.

        `hookline archive verify` must find the archive sound, too.
        """
        self.load.stop()
        await self.loading
        topic = await committed_offsets(self.broker.address)

        def content(key: str) -> bytes:
            return self.s3.content(key, self.bucket)

        def there() -> dict[int, int]:
            return reader.reached(self.s3.keys_of(self.bucket), content)

        await reader.until_archived(there, topic)
        keys = await asyncio.to_thread(self.s3.keys_of, self.bucket)
        url = f"s3://{self.bucket}/an/archive"
        verified = await asyncio.to_thread(
            hookline, "archive", "verify", "--archive", url, env=self.s3.env()
        )
        assert "sound" in verified
        objects = {key: await asyncio.to_thread(content, key) for key in keys}
        return reader.prove(objects, topic, self.load.places())


@asynccontextmanager
async def parts(
    directory: Path, *, seed: int, per_s: float, bucket: str = BUCKET
) -> AsyncIterator[Parts]:
    """Yield the running parts; the test launches the member."""
    with (
        running_broker(directory / "kafka", session_ms=LONG_SESSION_MS) as broker,
        running_s3(directory) as s3,
    ):
        await broker.make_topics()
        async with tcp_proxy(s3.port) as network:
            member = Consumer(
                "archive",
                broker.address,
                directory / "archive.log",
                env=s3.env(network.url),
                url=f"s3://{bucket}/an/archive",
                **SETTINGS,
            )
            load = Load(broker.address, seed=seed)
            loading = asyncio.create_task(load.run(1_000_000, per_s=per_s))
            try:
                yield Parts(
                    broker=broker,
                    s3=s3,
                    network=network,
                    member=member,
                    load=load,
                    loading=loading,
                    bucket=bucket,
                )
            finally:
                load.stop()
                member.kill()
                s3.thaw()
                await asyncio.gather(loading, return_exceptions=True)


@dataclass(kw_only=True)
class Vitals:
    """Measurements of a member over some time."""

    livez: set[int] = field(default_factory=set)
    groups: set[tuple[str, ...]] = field(default_factory=set)
    assignments: set[float] = field(default_factory=set)
    held_bytes: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)

    @property
    def grown_bytes(self) -> int:
        """Return the largest growth of its memory since the first measurement."""
        return max(self.rss_bytes) - self.rss_bytes[0]

    def __str__(self) -> str:
        """Return the measurements as a line of text."""
        return (
            f"/livez {sorted(self.livez)} in {len(self.rss_bytes)} moments, "
            f"{len(self.groups)} membership(s), held at most {max(self.held_bytes) / 1e6:.1f} MB, "
            f"RSS {self.rss_bytes[0] / 1e6:.0f} MB and up to {self.grown_bytes / 1e6:.1f} MB more"
        )


@asynccontextmanager
async def watched(one: Parts) -> AsyncIterator[Vitals]:
    """Measure the member twice a second during the block."""
    vitals = Vitals()

    async def look() -> None:
        while True:
            answer = await one.member.get("/livez")
            vitals.livez.add(answer.status if answer else 0)
            _, present = await members(one.broker.address, "archive")
            vitals.groups.add(tuple(present))
            now = await one.member.measure()
            vitals.assignments.add(now["rebalances_total"])
            vitals.held_bytes.append(now["held_bytes"])
            vitals.rss_bytes.append(one.member.rss_bytes())
            await asyncio.sleep(0.5)

    looking = asyncio.create_task(look())
    try:
        yield vitals
        assert not looking.done(), looking.exception()
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
