"""
A restarted broker has ended a transaction without some of its markers: each row is there once.

A real broker must be killed within milliseconds for that, so a producer causes the same state here
(support.kafka.half_ended).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.transaction import EndTxnRequest
from support.kafka.access import plaintext
from support.kafka.broker import LONG_SESSION_MS, running_broker
from support.kafka.half_ended import CARELESS, GROUP, RECORDS, leave_open, under_way
from support.kafka.parts import Pipe, in_topic, many, sequences
from support.processes.ingress import until

from ingress.forward import forwarder, last_outcome
from ingress.forward.cursor import cursor_group, transactional_id_of
from ingress.forward.settle import settle
from ingress.forward.transaction import transactional_producer
from ingress.spool.disk import DiskFailed
from schemas.client_parts import known_connections
from schemas.marker_check import MarkerCheck
from schemas.topics import CALLBACKS, DEAD_LETTERS
from schemas.transaction_state import TransactionOutcome, end_last_transaction

ROWS = 60


async def last_outcome_of(address: str, origin: str) -> TransactionOutcome:
    """Ask the broker how the last transaction of the forwarders of `origin` ended."""
    kafka = plaintext(address)
    return await end_last_transaction(kafka, transactional_id_of(kafka, origin))


@pytest.fixture(scope="module")
def careless_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker that accepts writes of transactions that their coordinator does not know."""
    directory = tmp_path_factory.mktemp("careless")
    with running_broker(directory, session_ms=LONG_SESSION_MS, properties=CARELESS) as broker:
        asyncio.run(broker.make_topics())
        yield broker.address


@pytest.mark.parametrize("ended", ["committed", "aborted"])
@pytest.mark.parametrize(
    "forgotten",
    [[*RECORDS, GROUP], RECORDS, RECORDS[:3], [GROUP], [*RECORDS[:3], GROUP], []],
    ids=["all", "records", "some records", "the cursor", "some and the cursor", "nothing"],
)
async def test_parts_that_a_transaction_left_open_end_as_the_transaction_did(
    careless_kafka: str, tmp_path: Path, forgotten: list[Any], ended: str
) -> None:
    """This holds for each forgotten part, and for a commit as well as for an abort."""
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, forgotten, abort=ended == "aborted")
        last = await last_outcome_of(careless_kafka, pipe.spool.origin)
        assert last is TransactionOutcome[ended.upper()]
        await pipe.store(many(ROWS, first=ROWS + 1))
        await pipe.forward()
        records = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 2 * ROWS + 1))


@pytest.mark.parametrize("ended", ["committed", "aborted"])
@pytest.mark.parametrize("forgotten", [[*RECORDS, GROUP], RECORDS], ids=["all", "records"])
async def test_a_forwarder_that_dies_before_it_has_settled_forgets_no_decision(
    careless_kafka: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: list[Any],
    ended: str,
) -> None:
    """The start of its producer has erased the decision at the coordinator."""
    has_settled = False

    async def nothing_ends(*_: Any, **__: Any) -> None:
        nonlocal has_settled
        has_settled = True
        await asyncio.Event().wait()

    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, forgotten, abort=ended == "aborted")
        with monkeypatch.context() as dying:
            dying.setattr(forwarder, "settle", nothing_ends)
            await pipe.forward(until=lambda: has_settled)
        assert await last_outcome_of(careless_kafka, pipe.spool.origin) is (
            TransactionOutcome.FORGOTTEN
        )
    # Another process, which knows what is on the disk.
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS, first=ROWS + 1))
        await pipe.forward()
        found = await in_topic(careless_kafka, pipe.spool.origin)
        assert pipe.spool.writer.aborted_origin == ""
    assert sorted(sequences(found)) == list(range(1, 2 * ROWS + 1))


async def test_a_forwarder_that_dies_after_the_disk_refused_the_decision_forgets_none(
    careless_kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has started no producer, so the coordinator still knows that the rows were aborted."""
    settlings = 0

    def fail(_: str) -> None:
        raise DiskFailed("injected by the test")

    async def nothing_ends(*_: Any, **__: Any) -> None:
        nonlocal settlings
        settlings += 1
        await asyncio.Event().wait()

    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, RECORDS, abort=True)
        with monkeypatch.context() as dying:
            dying.setattr(pipe.spool.writer, "store_aborted_origin", fail)
            dying.setattr(forwarder, "settle", nothing_ends)
            await pipe.forward(until=lambda: settlings > 0 or "injected" in pipe.fault())
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.forward()
        found = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(found)) == list(range(1, ROWS + 1))


async def test_a_slow_disk_delays_an_abort_and_nothing_more(
    careless_kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write of the note takes longer than the time after which it is reported."""
    monkeypatch.setattr(last_outcome, "NOTE_REPORTED_AFTER_S", 0.1)
    written: list[str] = []
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        store_aborted_origin = pipe.spool.writer.store_aborted_origin

        def slow(origin: str) -> None:
            time.sleep(0.5)
            while "the disk takes longer than 0.1 s" not in pipe.fault():
                time.sleep(0.01)
            written.append(origin)
            store_aborted_origin(origin)

        await pipe.store(many(ROWS))
        await leave_open(pipe, RECORDS, abort=True)
        monkeypatch.setattr(pipe.spool.writer, "store_aborted_origin", slow)
        await pipe.forward()
        found = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(found)) == list(range(1, ROWS + 1))
    assert written == [pipe.spool.origin, ""]


async def test_a_forwarder_that_dies_while_it_aborts_forgets_no_decision(
    careless_kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction counts as aborted, and so does what it would have ended."""
    abort = AIOKafkaProducer.abort_transaction
    is_aborting = False

    async def die(_: AIOKafkaProducer) -> None:
        nonlocal is_aborting
        is_aborting = True
        await asyncio.Event().wait()

    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, RECORDS, abort=True)
        monkeypatch.setattr(AIOKafkaProducer, "abort_transaction", die)
        await pipe.forward(until=lambda: is_aborting)
        monkeypatch.setattr(AIOKafkaProducer, "abort_transaction", abort)
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.forward()
        found = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(found)) == list(range(1, ROWS + 1))


async def test_the_start_of_a_producer_makes_the_coordinator_forget_a_commit(
    careless_kafka: str, tmp_path: Path
) -> None:
    """So a forwarder whose producer only started may end: FORGOTTEN counts as committed."""
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        origin = pipe.spool.origin
        assert await last_outcome_of(careless_kafka, origin) is TransactionOutcome.FORGOTTEN
        await leave_open(pipe, [], abort=False)
        assert await last_outcome_of(careless_kafka, origin) is TransactionOutcome.COMMITTED
        for _ in range(3):
            async with AIOKafkaProducer(bootstrap_servers=careless_kafka, transactional_id=origin):
                pass
            assert await last_outcome_of(careless_kafka, origin) is TransactionOutcome.FORGOTTEN


async def test_an_end_during_which_a_broker_went_away_is_not_trusted(
    careless_kafka: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The producer's next transaction would end what is open; so a new producer settles it."""
    commit = AIOKafkaProducer.commit_transaction
    commits = 0

    async def commit_and_lose(self: AIOKafkaProducer) -> None:
        nonlocal commits
        await commit(self)  # type: ignore[no-untyped-call]
        commits += 1
        # The first one settles, the second carries rows.
        for connection in known_connections(self) if commits == 2 else ():
            connection.close()

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", commit_and_lose)
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await pipe.forward()
        records = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, ROWS + 1))
    assert commits == 3
    assert "a broker went away while a transaction ended" in caplog.text


@pytest.mark.parametrize(
    ("fails", "left"),
    [
        ("begin_transaction", (RECORDS, "aborted")),
        ("begin_transaction", (RECORDS, "committed")),
        ("send_offsets_to_transaction", (RECORDS[:3], "committed")),
        ("commit_transaction", (RECORDS[:3], "committed")),
        ("commit_transaction", ([GROUP], "committed")),
    ],
)
async def test_a_start_that_fails_does_not_forget_what_was_decided(
    careless_kafka: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
    left: tuple[list[Any], str],
) -> None:
    """After the start of a new producer, the coordinator no longer knows the decision."""
    forgotten, ended_as = left
    real = getattr(AIOKafkaProducer, fails)
    calls = 0

    async def fail_once(self: Any, *values: Any) -> None:
        nonlocal calls
        calls += 1
        # The first call is the one that leaves something open.
        if calls == 2:
            if values:
                await real(self, *values)
            to_add = self._txn_manager.partitions_to_add
            await until(lambda: not to_add(), "all partitions are in the transaction")
            raise KafkaError("the broker is not there yet")
        await real(self, *values)

    monkeypatch.setattr(AIOKafkaProducer, fails, fail_once)
    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, forgotten, abort=ended_as == "aborted")
        await pipe.store(many(ROWS, first=ROWS + 1))
        await pipe.forward()
        records = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 2 * ROWS + 1))


@pytest.mark.parametrize("arrives", ["before its abort", "after its abort"])
async def test_a_commit_that_arrives_late_ends_as_the_forwarder_believes(
    careless_kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrives: str
) -> None:
    """
    A forwarder gave it up, and asked how its transaction ended, but a broker still gets it.

    The network had held it back, for example. Some of its markers are left out.
    """
    late: list[Any] = []
    start: Any = transactional_producer
    send: Any = AIOKafkaClient.send

    async def arrive() -> None:
        with contextlib.suppress(KafkaError):
            await late.pop().commit_transaction()

    async def send_after_it(self: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:
        if late and isinstance(request, EndTxnRequest):
            await arrive()
        return await send(self, node, request, **options)

    @contextlib.asynccontextmanager
    async def start_after_it(*values: Any, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
        if late:
            await arrive()
        async with start(*values, **options) as producer:
            yield producer

    with contextlib.closing(Pipe(careless_kafka, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        async with under_way(pipe, RECORDS) as producer:
            late.append(producer)
            monkeypatch.setattr(forwarder, "transactional_producer", start_after_it)
            if arrives == "before its abort":
                monkeypatch.setattr(AIOKafkaClient, "send", send_after_it)
            await pipe.forward()
        records = await in_topic(careless_kafka, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, ROWS + 1))
    assert not late


async def test_the_cursor_is_read_when_its_marker_is_written(
    careless_kafka: str, tmp_path: Path
) -> None:
    """A commit returns earlier; an older cursor would send its rows twice."""
    read = []
    kafka = plaintext(careless_kafka)
    for number in range(10):
        with contextlib.closing(Pipe(careless_kafka, tmp_path / f"spool{number}")) as pipe:
            await pipe.store(many(ROWS))
            await leave_open(pipe, [GROUP], abort=False)
            group = cursor_group(pipe.spool.origin)
            async with (
                AIOKafkaConsumer(
                    bootstrap_servers=careless_kafka, group_id=group, enable_auto_commit=False
                ) as reader,
                AIOKafkaProducer(
                    bootstrap_servers=careless_kafka, transactional_id=pipe.spool.origin
                ) as producer,
            ):
                assert await reader.committed(RECORDS[0]) is None
                markers = MarkerCheck(map(kafka.topic, (CALLBACKS.name, DEAD_LETTERS.name)))
                await markers.begin(producer.client, kafka.transactional_id(pipe.spool.origin))
                await settle(producer, kafka, group, abort=False)
                await markers.check(producer.client)
                read.append(await reader.committed(RECORDS[0]))
    assert read == [ROWS] * 10
