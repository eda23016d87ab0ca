"""Spool to Kafka: read_committed readers see each row once, in spool order, after any crash."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from support.builders import a_body, a_callback, a_wire_record
from support.kafka.parts import Pipe, in_topic, many, sequences

from ingress.forward import forwarder, next_transaction
from ingress.forward.transaction_batches import build_batches
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas import clients
from schemas.body import Malformed
from schemas.client_parts import Client
from schemas.clients import close_client
from schemas.kafka_names import KafkaName
from schemas.outgoing_record import main_topic_record, malformed_record
from schemas.topics import DEAD_LETTERS


async def test_every_row_arrives_once_with_key_headers_and_bytes(pipe: Pipe) -> None:
    """Readers get what was stored; then the rows leave the spool."""
    records = many(500)
    await pipe.store(records)
    await pipe.forward()
    in_kafka = await in_topic(pipe.bootstrap_servers, pipe.spool.origin)
    assert sorted(sequences(in_kafka)) == list(range(1, 501))
    for record in in_kafka:
        stored = records[sequences([record])[0] - 1]
        assert (record.key, record.value) == (stored.key, stored.value)
        assert list(record.headers)[: len(stored.headers)] == stored.headers
        assert record.timestamp_type == 1  # LogAppendTime
    assert pipe.spool.row_count == 0


async def test_one_conversation_stays_in_one_partition_in_order(pipe: Pipe) -> None:
    """All of its records have one key."""
    await pipe.store(many(300, people=1))
    await pipe.forward()
    records = await in_topic(pipe.bootstrap_servers, pipe.spool.origin)
    assert len({record.partition for record in records}) == 1
    assert sequences(records) == list(range(1, 301))


async def test_rows_of_many_sizes_fill_many_batches(pipe: Pipe) -> None:
    """From a few bytes to the largest body; none is lost where a batch is full."""
    sizes = [10, 400, 16_000, 300_000, 1_000_000]
    records = [
        a_wire_record(n, b'{"CallbackCommand":"X","n":%d,"t":"%s"}' % (n, b"x" * sizes[n % 5]))
        for n in range(60)
    ]
    await pipe.store(records)
    await pipe.forward()
    in_kafka = await in_topic(pipe.bootstrap_servers, pipe.spool.origin)
    assert sorted(sequences(in_kafka)) == list(range(1, 61))


async def test_a_malformed_callback_goes_to_the_dead_letter_topic_once(pipe: Pipe) -> None:
    """It passes through the same spool and the same transaction, and has the reason in a header."""
    dead = malformed_record(a_callback(b"{"), Malformed("no JSON"))
    await pipe.store([*many(2), dead, *many(2, first=3)])
    await pipe.forward()
    (letter,) = await in_topic(pipe.bootstrap_servers, pipe.spool.origin, DEAD_LETTERS.name)
    assert (letter.value, sequences([letter])) == (b"{", [3])
    assert dict(letter.headers)["__connect.errors.exception.message"] == b"no JSON"
    records = await in_topic(pipe.bootstrap_servers, pipe.spool.origin)
    assert sorted(sequences(records)) == [1, 2, 4, 5]


async def crash(client: Client, starting: "asyncio.Task[Any]") -> None:
    """End a client as a killed process does: its connections close without a goodbye."""
    starting.cancel()
    await asyncio.wait((starting,))
    if isinstance(client, AIOKafkaProducer):
        client._closed = True  # noqa: SLF001 - or it complains that nobody stopped it
        if (sending := client._sender._sender_task) is not None:  # noqa: SLF001
            sending.cancel()
        await client.client.close()
    else:
        await close_client(client)


@pytest.mark.timeout(600)
async def test_cut_at_any_moment_nothing_is_missing_or_doubled(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, scaled: Callable[..., int]
) -> None:
    """Forwarders die one after another at random awaits, transactions open or in doubt."""
    forwarders = scaled(12, at_most=200)
    rows = 150 * forwarders
    await pipe.store(many(rows))
    monkeypatch.setattr(clients, "close_client", crash)
    monkeypatch.setattr(next_transaction, "TRANSACTION_ROWS_MAX", 50)
    chance = random.Random(7)  # noqa: S311 - where to cut
    for _ in range(forwarders):
        deadline = asyncio.get_running_loop().time() + chance.uniform(0.02, 0.15)
        await pipe.forward(until=lambda at=deadline: asyncio.get_running_loop().time() > at)  # type: ignore[misc]
    monkeypatch.undo()
    await pipe.forward()
    records = await in_topic(pipe.bootstrap_servers, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, rows + 1))


async def test_the_cursor_is_read_after_the_predecessor_is_settled(pipe: Pipe) -> None:
    """The predecessor's commit may arrive late: a cursor read before it would double its rows."""
    await pipe.store(many(20))
    predecessor = AIOKafkaProducer(
        bootstrap_servers=pipe.bootstrap_servers, transactional_id=pipe.spool.origin
    )
    await predecessor.start()
    late_commit = predecessor.commit_transaction

    async def not_yet() -> None:
        pass

    class Successor(forwarder.Forwarder):
        begun = False

        @asynccontextmanager
        async def _open_producer(self) -> AsyncIterator[AIOKafkaProducer]:
            if not Successor.begun:
                Successor.begun = True
                predecessor.commit_transaction = not_yet  # type: ignore[method-assign]
                batches = await build_batches(
                    predecessor, self._kafka, self._spool, 0, rows_max=20, dead_letters={}
                )
                await self._marker_check.begin(predecessor.client, KafkaName(self._origin))
                await self._send_transaction(predecessor, batches)
                await late_commit()  # type: ignore[no-untyped-call]
            async with super()._open_producer() as producer:
                yield producer

    await pipe.forward(kind=Successor)
    await predecessor.stop()
    records = await in_topic(pipe.bootstrap_servers, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 21))


@pytest.mark.timeout(600)
async def test_a_killed_broker_costs_nothing(own_kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """It is killed between and within transactions, and is down when the forwarder starts."""
    pipe = Pipe(own_kafka.address, tmp_path / "spool")
    await pipe.store(many(4_000))
    forwarding = asyncio.create_task(pipe.forward(seconds=180))
    await asyncio.sleep(0.3)
    own_kafka.kill()
    await asyncio.sleep(1)
    own_kafka.launch()
    await forwarding
    records = await in_topic(own_kafka.address, pipe.spool.origin)
    pipe.close()
    assert sorted(sequences(records)) == list(range(1, 4_001))


@pytest.mark.parametrize("accepted_since", [1, 25])
async def test_a_spool_that_went_back_in_time_loses_nothing(
    kafka: str, tmp_path: Path, accepted_since: int
) -> None:
    """Whether its sequences have reached Kafka's cursor again or not, rows move to a new origin."""
    directory, copy = tmp_path / "spool", tmp_path / "copy"
    pipe = Pipe(kafka, directory)
    await pipe.store(many(5))
    pipe.close()
    shutil.copytree(directory, copy)
    pipe = Pipe(kafka, directory)
    await pipe.store(many(15, first=6))
    await pipe.forward()
    before = pipe.spool.origin
    pipe.close()
    shutil.rmtree(directory)
    copy.rename(directory)

    pipe = Pipe(kafka, directory)
    assert pipe.spool.origin == before
    # While Kafka cannot be asked, as at a start during an outage.
    await pipe.store(many(accepted_since, first=1_000))
    await pipe.forward(until=lambda: pipe.spool.origin != before)
    await pipe.forward()
    assert pipe.spool.last_sequence == 5 + accepted_since
    values = [record.value for record in await in_topic(kafka, pipe.spool.origin)]
    for record in many(accepted_since, first=1_000):
        assert record.value in values
    assert sorted(sequences(await in_topic(kafka, before))) == list(range(1, 21))
    pipe.close()


async def test_the_longest_accounts_do_not_jam_the_forwarder(pipe: Pipe) -> None:
    """The broker takes every record that the ingress accepts."""
    body = a_body(From_Account="a" * 500_000, To_Account="b" * 500_000)
    await pipe.store([main_topic_record(a_callback(body))])
    await pipe.forward(seconds=180)
    assert [r.value for r in await in_topic(pipe.bootstrap_servers, pipe.spool.origin)] == [body]
