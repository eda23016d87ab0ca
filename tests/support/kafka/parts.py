"""The product's parts on a real Kafka, as the integration tests combine them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord
from support.builders import a_body, a_callback, store
from support.fakes import MemoryDeadLetters
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.runner_bench import BY_DEFAULT

from consumers.runtime.batch import Limits
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.group import join_group
from consumers.runtime.handler import Handler
from consumers.runtime.runner import Runner
from ingress.forward.forwarder import Forwarder
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any
from ingress.spool.spool import Spool
from ops.audit.audit import audit
from ops.audit.report import Report
from ops.audit.sources import Sources
from ops.audit.spool_ends import SpoolEnds
from schemas.outgoing_record import ORIGIN, SEQUENCE, OutgoingRecord, main_topic_record
from schemas.topics import CALLBACKS

BODY_BYTES_MAX = 1 << 20


class Pipe:
    """A spool and a forwarder, which can be abandoned and started again."""

    def __init__(self, bootstrap_servers: str, directory: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.spool: Spool = hold_any(directory, bytes_max=64 << 20)
        # The forwarder that runs, or that ran last.
        self.forwarder: Forwarder | None = None

    def fault(self) -> str:
        """Return the fault that keeps the forwarder from forwarding, "" if there is none."""
        return self.forwarder.fault.text if self.forwarder else "none runs"

    async def ends(self) -> SpoolEnds:
        """Return the end of the spool, as an audit asks for it."""
        return SpoolEnds(by_spool={self.spool.name: {self.spool.origin: self.spool.last_sequence}})

    async def audit(self, archive: Path, postgres: str | None = None) -> Report:
        """Return the report of one audit of the spool, Kafka and these sinks."""
        kafka = plaintext(self.bootstrap_servers)
        sources = Sources(kafka=kafka, archive=str(archive), postgres=postgres)
        return await audit(self.ends, sources, ledger=[], wait_s=0, progress=lambda _: None)

    def close(self) -> None:
        """Close the spool."""
        self.spool.close()

    async def store(self, records: Iterable[OutgoingRecord]) -> None:
        """Store `records` in the spool."""
        async with self.async_spool() as async_spool:
            await asyncio.gather(*(store(async_spool, record, 1) for record in records))

    async def forward(
        self,
        *,
        until: Callable[[], bool] | None = None,
        seconds: float = 180,
        kind: type[Forwarder] = Forwarder,
    ) -> None:
        """Forward until all rows are in Kafka, or `until` holds; then abandon it as in a crash."""
        async with self.async_spool() as async_spool:
            forwarder = kind(
                async_spool, kafka=plaintext(self.bootstrap_servers), body_bytes_max=BODY_BYTES_MAX
            )
            self.forwarder = forwarder
            running = asyncio.create_task(forwarder.run())
            done = until or (
                lambda: (
                    not forwarder.fault.text
                    and forwarder.forwarded_sequence == self.spool.last_sequence
                )
            )
            try:
                async with asyncio.timeout(seconds):
                    while not done():  # noqa: ASYNC110 - the product says it by a number
                        await asyncio.sleep(0.005)
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
        if until is None:
            await self._settle()

    async def _settle(self) -> None:
        """Return when readers see all committed records: the broker answers a little earlier."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, transactional_id=self.spool.origin
        ):
            pass

    @asynccontextmanager
    async def async_spool(self) -> AsyncIterator[AsyncSpool]:
        """Yield an AsyncSpool that writes to the spool; the spool stays open afterwards."""
        async_spool = AsyncSpool(self.spool, pending_rows_max=100_000, pending_bytes_max=64 << 20)
        try:
            yield async_spool
        finally:
            await async_spool.stop()


def many(count: int, first: int = 1, *, people: int = 20) -> list[OutgoingRecord]:
    """Return records of `count` different callbacks from `people` conversations."""
    bodies = (
        a_body(MsgKey=f"key-{number}", From_Account=f"user{number % people}")
        for number in range(first, first + count)
    )
    return [main_topic_record(a_callback(body)) for body in bodies]


async def in_topic(
    bootstrap_servers: str, origin: str | None, topic: str = CALLBACKS.name
) -> list[ConsumerRecord[bytes, bytes]]:
    """Return the committed records of `origin`, or of all origins, partition by partition."""
    reader = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await reader.start()
    try:
        partitions = list(reader.assignment())
        ends = await reader.end_offsets(partitions)
        of_origin: list[ConsumerRecord[bytes, bytes]] = []
        while any([await reader.position(tp) < ends[tp] for tp in partitions]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                of_origin += [
                    record
                    for record in records
                    if origin is None or dict(record.headers).get(ORIGIN) == origin.encode()
                ]
        return sorted(of_origin, key=lambda record: (record.partition, record.offset))
    finally:
        await reader.stop()


async def ends_of(kafka: str) -> dict[TopicPartition, int]:
    """Return the end offset of each partition of the main topic, after its markers."""
    partitions = [TopicPartition(CALLBACKS.name, at) for at in range(CALLBACKS.partitions)]
    leaders: dict[int, int | None] = {}
    # Once a client of aiokafka did not learn of a partition for 40 s. Another one is tried then.
    for _ in range(4):
        async with AIOKafkaConsumer(bootstrap_servers=kafka) as reader:
            with contextlib.suppress(KafkaTimeoutError):
                return dict(await reader.end_offsets(partitions))
            cluster = reader._client.cluster  # noqa: SLF001 - for the message
            leaders = {tp.partition: cluster.leader_for_partition(tp) for tp in partitions}
    raise TimeoutError(f"four clients learned no end offsets; leaders by partition: {leaders}")


async def delete_before(bootstrap_servers: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Delete the records before these offsets, as retention does."""
    async with admin_client(bootstrap_servers) as admin:
        await admin.delete_records({tp: RecordsToDelete(offset) for tp, offset in offsets.items()})


def sequences(records: Iterable[ConsumerRecord[bytes, bytes]]) -> list[int]:
    """Return the sequences of the records."""
    return [int(dict(record.headers)[SEQUENCE]) for record in records]


async def run_until(
    handler: Handler,
    holds: Callable[[], bool],
    *,
    bootstrap_servers: str,
    group: str,
    limits: Limits,
    seconds: float = 180,
    dead_letters: bool = False,
) -> None:
    """Run a consumer on the main topic until `holds`, then leave the group."""
    real = KafkaDeadLetters(
        kafka=plaintext(bootstrap_servers), record_bytes_max=BODY_BYTES_MAX, group=group
    )
    runner = Runner(
        name="test",
        handler=handler,
        limits=limits,
        dead_letters=real if dead_letters else MemoryDeadLetters(),
        **BY_DEFAULT,
    )
    stop = asyncio.Event()

    async def watch() -> None:
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
        stop.set()

    async with (
        asyncio.timeout(seconds),
        asyncio.TaskGroup() as tasks,
        join_group(
            kafka=plaintext(bootstrap_servers),
            group=group,
            topic=CALLBACKS.name,
            owner=runner,
        ) as source,
    ):
        watching = tasks.create_task(watch())
        try:
            await runner.run(source, stop)
        finally:
            watching.cancel()
