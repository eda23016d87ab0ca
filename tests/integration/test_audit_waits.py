"""An audit waits while a source is away; when its time is over, it names the source."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer
from support.archive.s3_server import BUCKET, S3Server
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.kafka.tcp_proxy import Network, TcpProxy, tcp_proxy
from support.processes.ingress import until
from support.statistics import statistics_api

from consumers.counters.server import connect
from consumers.sync.tables import ensure_tables
from ops.audit import ends_reader, receipts, topic_reader
from ops.audit import statistics_api as audited_statistics
from ops.audit.audit import audit
from ops.audit.report import Report
from ops.audit.sources import AuditFailed, ReadAgain, Sources
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.records import up_to_ends
from ops.topic_changes import apply_topics
from schemas.setting import Secret
from schemas.topics import CALLBACKS


@dataclass
class World:
    """An empty pipeline. Each part is reached through a network that the test can break."""

    sources: Sources
    networks: dict[str, TcpProxy]

    async def audited(self, wait_s: float, said: list[str]) -> Report:
        """Return the report."""

        async def no_spool() -> SpoolEnds:
            return SpoolEnds(by_spool={"o": {"o": 0}})

        return await audit(no_spool, self.sources, ledger=[], wait_s=wait_s, progress=said.append)


@pytest.fixture
async def stats(valkey_url: str) -> AsyncIterator[int]:
    """Yield the port of a statistics API."""
    valkey = connect(Secret(valkey_url))
    runner = web.AppRunner(statistics_api(valkey))
    await runner.setup()
    port = child.free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()
    await valkey.aclose()


@pytest.fixture
async def world(
    empty_kafka: EmbeddedKafka,
    conninfo: str,
    stats: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """Yield a pipeline in which everything runs."""
    for module, name in (
        (up_to_ends, "KAFKA_TIMEOUT_S"),
        (receipts, "DATABASE_TIMEOUT_S"),
        (receipts, "CONNECT_TIMEOUT_S"),
        (audited_statistics, "STATISTICS_TIMEOUT_S"),
        (ends_reader, "STATUS_TIMEOUT_S"),
    ):
        monkeypatch.setattr(module, name, 5)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await ensure_tables(connection)
    async with contextlib.AsyncExitStack() as stack:
        s3 = stack.enter_context(child.running(S3Server(tmp_path)))
        database = psycopg.conninfo.conninfo_to_dict(conninfo)
        targets = {
            "Kafka": empty_kafka.port,
            "PostgreSQL": int(database["port"] or 0),
            "the statistics": stats,
            "the archive": s3.port,
        }
        networks = {
            name: await stack.enter_async_context(tcp_proxy(port)) for name, port in targets.items()
        }
        for name, value in s3.env().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", networks["the archive"].url)
        database["port"] = networks["PostgreSQL"].port
        yield World(
            Sources(
                kafka=plaintext(f"127.0.0.1:{networks['Kafka'].port}"),
                archive=f"s3://{BUCKET}/archive",
                postgres=psycopg.conninfo.make_conninfo("", **database),
                stats=networks["the statistics"].url,
            ),
            networks,
        )


@pytest.mark.timeout(600)
async def test_an_audit_waits_through_the_outage_of_each_source(
    world: World, say: Callable[[str], None]
) -> None:
    """Connections are refused or hang: it reports what it waits for, and continues afterwards."""
    assert (await world.audited(180, [])).proven
    outages = 0
    for name, proxy in world.networks.items():
        for network in (Network.REFUSES, Network.SWALLOWS):
            if (name, network) == ("the archive", Network.SWALLOWS):
                continue  # obstore's own time-outs are longer than a test should be
            proxy.becomes(network)
            said: list[str] = []
            waiting = asyncio.create_task(world.audited(180, said))

            def waits(name: str = name, said: list[str] = said) -> bool:
                return any(f"waiting for {name}" in words for words in said)

            await until(waits, f"the audit waits for {name} that {network.name}")
            assert not waiting.done()
            proxy.becomes(Network.WORKS)
            assert (await waiting).proven
            outages += 1
    say(f"{outages} outages")


@pytest.mark.timeout(600)
async def test_missing_and_recreated_topics_are_noticed(
    empty_kafka: EmbeddedKafka, world: World
) -> None:
    """Records of the old topic prove nothing about the new one."""
    reader = topic_reader.TopicReader(plaintext(empty_kafka.address))
    tally = Tally(SpoolEnds(), [], audits_postgres=False, audits_counts=False)
    async with AIOKafkaProducer(bootstrap_servers=empty_kafka.address) as producer:
        await producer.send_and_wait(CALLBACKS.name, b"{}", partition=0)
    await reader.read(tally)
    await reader.read(tally)
    assert tally.record_count == 1
    async with admin_client(empty_kafka.address) as admin:
        await admin.delete_topics([CALLBACKS.name])
    with pytest.raises(AuditFailed, match="hookline topics apply"):
        await world.audited(0, [])
    await apply_topics(plaintext(empty_kafka.address), body_bytes_max=1 << 20, replicas=1)
    with pytest.raises(ReadAgain, match="was read up to offset 1"):
        await reader.read(tally)


@pytest.mark.timeout(600)
async def test_a_source_that_does_not_come_back_is_named_at_the_end(world: World) -> None:
    """The audit fails, which is not the same as a missing callback."""
    for name, proxy in world.networks.items():
        proxy.becomes(Network.REFUSES)
        with pytest.raises(AuditFailed, match=f"^{name}"):
            await world.audited(1, [])
        proxy.becomes(Network.WORKS)
