"""When the cause of an outage is looked for: by a member that runs, and for a dead letter."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer
from support.kafka.access import plaintext

from consumers.runtime import outage_cause
from consumers.runtime.batch import Partition, Record
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.handler import Rejected
from consumers.runtime.outage_cause import OutageCause
from consumers.runtime.source import KafkaUnavailable
from schemas.clients import close_client


class ClosingServer:
    """A server that closes each connection, and counts them."""

    def __init__(self) -> None:
        self.address = ""
        self.connections = 0

    async def accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close a connection."""
        self.connections += 1
        writer.close()


@contextlib.asynccontextmanager
async def closing_server() -> AsyncIterator[ClosingServer]:
    """Yield a server that is no broker."""
    server = ClosingServer()
    async with await asyncio.start_server(server.accept, "127.0.0.1", 0) as listening:
        server.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


async def test_a_member_that_runs_looks_for_the_cause_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once in a new outage, and then as often as PROBE_INTERVAL_S allows."""
    async with closing_server() as server:
        client = AIOKafkaConsumer(**plaintext(server.address).options())
        try:
            cause = OutageCause(client)
            error = TimeoutError()
            first = await cause.explained(error)
            assert str(first).startswith(f"Kafka at {server.address} cannot be used: ")
            assert first.__cause__ is error
            after_one_probe = server.connections
            assert str(await cause.explained(error)) == str(first)
            assert server.connections == after_one_probe
            cause.forget()
            await cause.explained(error)
            assert server.connections == 2 * after_one_probe
            monkeypatch.setattr(outage_cause, "PROBE_INTERVAL_S", 0.0)
            await cause.explained(error)
            assert server.connections == 3 * after_one_probe
        finally:
            await close_client(client)


async def test_a_dead_letter_that_is_not_sent_does_not_wait_for_a_probe() -> None:
    """The partition may be revoked meanwhile, and the rebalance waits for it."""
    async with closing_server() as server:
        dead_letters = KafkaDeadLetters(
            kafka=plaintext(server.address), record_bytes_max=1 << 20, group="archive"
        )
        record = Record(offset=0, timestamp_ms=0, key=None, value=b"{}", headers=())
        with pytest.raises(KafkaUnavailable):
            await dead_letters.send(
                Partition("topic", 0), record, Rejected(0, "why"), attempts=1, first_failed_at_ms=0
            )
        assert server.connections == 1
