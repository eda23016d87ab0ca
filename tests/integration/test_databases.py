"""Kafka to PostgreSQL and Valkey by the real runtime: each record once, over any outage."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from support.builders import a_body, a_callback
from support.counting import counting
from support.kafka.parts import Pipe, delete_before, ends_of, in_topic, many, run_until
from valkey import Valkey
from valkey.exceptions import ValkeyError

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import open_store
from consumers.counters.counts import CountersHandler
from consumers.runtime.batch import Limits, Partition, Position
from consumers.runtime.handler import Handler, Unavailable
from consumers.sync.database import DatabaseHandler
from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.dead_letter import CONNECT, GROUP
from schemas.outgoing_record import main_topic_record
from schemas.setting import Secret
from schemas.topics import CALLBACKS, DEAD_LETTERS

LIMITS = Limits(records=200, bytes=1 << 20, age_s=0.2)


@dataclass(frozen=True, slots=True)
class Sink:
    """A kind of sink with a server of its own."""

    server: EmbeddedPostgres | EmbeddedValkey
    member: Callable[[], DatabaseHandler | CountersHandler]
    # How many of an origin's sequences are in it, and their sum; None while it does not answer.
    holds: Callable[[str], tuple[int, int] | None]


@pytest.fixture(params=["postgres", "valkey"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    """Yield a sink whose server the test may kill."""
    made = _postgres(tmp_path) if request.param == "postgres" else _valkey(tmp_path)
    with child.running(made.server):
        yield made


def _postgres(directory: Path) -> Sink:
    server = EmbeddedPostgres(directory / "server")

    def holds(origin: str) -> tuple[int, int] | None:
        query = (
            "select count(*), coalesce(sum(sequence), 0) from hookline.receipts where origin = %s"
        )
        try:
            with psycopg.connect(server.conninfo) as connection:
                row = connection.execute(query, (origin,)).fetchone()
        except psycopg.Error:
            return None
        return (int(row[0]), int(row[1])) if row else None

    return Sink(server, lambda: DatabaseHandler(Secret(server.conninfo)), holds)


def _valkey(directory: Path) -> Sink:
    # A copy of the files has all data that a test has seen in the store.
    server = EmbeddedValkey(directory / "server", appendfsync="always")

    def holds(origin: str) -> tuple[int, int] | None:
        with Valkey.from_url(server.url) as client:
            try:
                fields = [f"{origin}/{CALLBACKS.name}/{at}" for at in range(CALLBACKS.partitions)]
                counts = client.execute_command("HMGET", "hookline:1:applied", *fields)
                sums = client.execute_command("HMGET", "hookline:1:sequence-sums", *fields)
            except ValkeyError:
                return None
        return sum(int(each or 0) for each in counts), sum(int(each or 0) for each in sums)

    def member() -> CountersHandler:
        return counting(server.url, people_exact_max=10_000)

    return Sink(server, member, holds)


@asynccontextmanager
async def member_of(sink: Sink) -> AsyncIterator[Handler]:
    """Yield a handler that is closed at the end."""
    member = sink.member()
    try:
        yield member
    finally:
        await member.close()


def all_of(count: int) -> tuple[int, int]:
    """Return the number and the sum of the sequences from 1 to count."""
    return count, count * (count + 1) // 2


async def test_members_come_and_go_and_every_record_is_applied_once(
    pipe: Pipe, sink: Sink, group: str
) -> None:
    """One member, then two at once, then another one."""
    origin = pipe.spool.origin

    async def member(count: int) -> None:
        async with member_of(sink) as handler:
            await run_until(
                handler,
                lambda: (sink.holds(origin) or (0, 0))[0] >= count,
                bootstrap_servers=pipe.bootstrap_servers,
                group=group,
                limits=LIMITS,
            )

    for portion in range(3):
        await pipe.store(many(300, first=1 + 300 * portion))
        await pipe.forward()
        await asyncio.gather(*(member(300 * (portion + 1)) for _ in range(1 + portion % 2)))
    assert sink.holds(origin) == all_of(900)


@pytest.mark.timeout(600)
async def test_a_store_that_is_put_back_to_an_older_state_ends_complete_again(
    pipe: Pipe, sink: Sink, group: str, tmp_path: Path
) -> None:
    """A copy is restored under a running consumer, first with traffic afterwards, then without."""
    origin, copy = pipe.spool.origin, tmp_path / "copy"

    async def until(count: int) -> None:
        while await asyncio.to_thread(sink.holds, origin) != all_of(count):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)

    def swap(source: Path, target: Path) -> None:
        """Kill the server, copy its data, and start it."""
        sink.server.kill()
        if sink.server.data == target:
            shutil.rmtree(target)
        subprocess.run(["cp", "-a", source, target], check=True)  # noqa: S607 - wherever it is
        sink.server.start()

    async def story() -> None:
        await pipe.store(many(300))
        await pipe.forward()
        await until(300)
        await asyncio.to_thread(swap, sink.server.data, copy)
        await pipe.store(many(300, first=301))
        await pipe.forward()
        await until(600)
        await asyncio.to_thread(swap, copy, sink.server.data)
        assert sink.holds(origin) == all_of(300)
        await pipe.store(many(100, first=601))
        await pipe.forward()
        await until(700)
        # Nothing comes any more that would show where the store stands.
        await asyncio.to_thread(swap, copy, sink.server.data)
        assert sink.holds(origin) == all_of(300)
        await until(700)

    async with member_of(sink) as handler:
        telling = asyncio.create_task(story())
        await run_until(
            handler,
            telling.done,
            bootstrap_servers=pipe.bootstrap_servers,
            group=group,
            limits=LIMITS,
            seconds=180,
        )
        await telling
    assert sink.holds(origin) == all_of(700)


async def next_offset(handler: Handler, partition: Partition) -> int:
    """Return where a sink continues, -1 if it does not answer in time, as on a busy machine."""
    with contextlib.suppress(Unavailable):
        return (await handler.position(partition) or Position(0)).next_offset
    return -1


async def test_a_quiet_partition_that_retention_has_emptied_stops_nobody(
    pipe: Pipe, sink: Sink, group: str, tmp_path: Path
) -> None:
    """The positions are after the last transaction's markers, where the topic begins then."""
    await pipe.store(many(200))
    await pipe.forward()
    archive = ArchiveHandler(open_store(str(tmp_path / "archive"), create_directory=True))

    async def run(kind: Handler, name: str, ends: Mapping[TopicPartition, int]) -> None:
        async def reached() -> None:
            for tp, end in ends.items():
                while await next_offset(kind, Partition(*tp)) != end:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.05)

        reaching = asyncio.create_task(reached())
        await run_until(
            kind,
            reaching.done,
            bootstrap_servers=pipe.bootstrap_servers,
            group=f"{group}-{name}",
            limits=LIMITS,
        )
        await reaching

    async with member_of(sink) as handler:
        ends = await ends_of(pipe.bootstrap_servers)
        await run(handler, "database", ends)
        await run(archive, "archive", ends)
        await delete_before(pipe.bootstrap_servers, ends)
        # Where the last record was, there is nothing any more: to go on from there would stop them.
        await pipe.store(many(50, first=201))
        await pipe.forward()
        ends = await ends_of(pipe.bootstrap_servers)
        await run(handler, "database", ends)
        await run(
            ArchiveHandler(open_store(str(tmp_path / "archive"), create_directory=True)),
            "archive",
            ends,
        )
    assert sink.holds(pipe.spool.origin) == all_of(250)


async def test_a_record_that_is_no_callback_becomes_a_dead_letter_and_the_rest_goes_on(
    pipe: Pipe, sink: Sink, group: str
) -> None:
    """It is in the dead-letter topic with its topic, partition and offset."""
    async with AIOKafkaProducer(bootstrap_servers=pipe.bootstrap_servers) as stranger:
        sent = await stranger.send_and_wait(CALLBACKS.name, b"strange " + group.encode(), b"key")
    await pipe.store(many(100))
    await pipe.forward()
    async with member_of(sink) as handler:
        await run_until(
            handler,
            lambda: sink.holds(pipe.spool.origin) == all_of(100),
            bootstrap_servers=pipe.bootstrap_servers,
            group=group,
            limits=LIMITS,
            dead_letters=True,
        )
    dead_letters = await in_topic(pipe.bootstrap_servers, None, DEAD_LETTERS.name)
    (dead_letter,) = [each for each in dead_letters if each.value == b"strange " + group.encode()]
    headers = dict(dead_letter.headers)
    assert headers[GROUP] == group.encode()
    assert headers[CONNECT + "offset"] == b"%d" % sent.offset
    assert headers[CONNECT + "exception.message"] == b"the header ce_id is missing or empty"


async def test_rows_that_an_owner_refuses_are_dead_letters_and_all_others_are_written(
    pipe: Pipe, conninfo: str, group: str, say: Callable[[str], None]
) -> None:
    """With a unique index of the owner, one of each pair of messages is refused."""
    bodies = [
        a_body(MsgKey=f"{group}-{at}", MsgSeq=at // 2, To_Account=f"{at}") for at in range(60)
    ]
    await pipe.store([main_topic_record(a_callback(body)) for body in bodies])
    await pipe.forward()
    database = DatabaseHandler(Secret(conninfo))
    await database.position(Partition(CALLBACKS.name, 0))

    def count(query: str) -> int:
        with psycopg.connect(conninfo) as connection:
            row = connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    with psycopg.connect(conninfo) as connection:
        connection.execute("create unique index on hookline.messages (message_seq)")
    ends = await ends_of(pipe.bootstrap_servers)
    origin = pipe.spool.origin

    def complete() -> bool:
        return count("select coalesce(sum(next_offset), 0) from hookline.positions") >= sum(
            ends.values()
        )

    await run_until(
        database,
        complete,
        bootstrap_servers=pipe.bootstrap_servers,
        group=group,
        limits=LIMITS,
        dead_letters=True,
    )
    await database.close()
    dead_letters = [
        dict(each.headers)[CONNECT + "exception.message"].decode()
        for each in await in_topic(pipe.bootstrap_servers, origin, DEAD_LETTERS.name)
    ]
    written = count(f"select count(*) from hookline.receipts where origin = '{origin}'")  # noqa: S608 - hex
    say(f"{len(bodies)} messages: {written} written, {len(dead_letters)} dead letters")
    assert written == len(dead_letters) == len(bodies) // 2
    assert all("duplicate key value violates unique constraint" in each for each in dead_letters)
