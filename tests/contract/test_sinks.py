"""What every sink that keeps its position beside its effect must do: memory, PostgreSQL, Valkey."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import psycopg
import pytest
from builders import P0, P1, a_stored_batch, a_stored_record
from fakes import MemorySink

from consumers.counters.counts import Counts, connect
from consumers.runtime.batch import Batch
from consumers.runtime.handler import Elsewhere, Handler
from consumers.stats.figures import Figures
from consumers.sync.database import Database
from schemas.settings import Secret


@dataclass(frozen=True, slots=True)
class Sink:
    """A handler, another one on the same store, and how many effects the store shows."""

    handler: Handler
    rival: Handler
    effects: Callable[[], Awaitable[int]]


@pytest.fixture(params=["memory", "postgres", "valkey"])
async def sink(request: pytest.FixtureRequest) -> AsyncIterator[Sink]:
    """An empty store."""
    if request.param == "memory":
        memory = MemorySink()

        async def in_memory() -> int:
            return sum(map(len, memory.applied.values()))

        yield Sink(memory, memory, in_memory)
        return
    async with AsyncExitStack() as opened:
        if request.param == "postgres":
            conninfo = request.getfixturevalue("conninfo")
            databases = [Database(Secret(conninfo)) for _ in range(2)]
            for database in databases:
                opened.push_async_callback(database.close)

            async def in_postgres() -> int:
                with psycopg.connect(conninfo) as connection:
                    found = connection.execute("select count(*) from hookline.receipts").fetchone()
                return int(found[0]) if found else 0

            yield Sink(databases[0], databases[1], in_postgres)
        else:
            url = Secret(request.getfixturevalue("valkey_url"))
            counts = [
                Counts(url, remember_s=60, keep_minutes_s=60, people_exact_max=100)
                for _ in range(2)
            ]
            for each in counts:
                opened.push_async_callback(each.close)
            valkey = connect(url)
            opened.push_async_callback(valkey.aclose)

            async def in_valkey() -> int:
                origins = await Figures(valkey).applied()
                return sum(each.applied for parts in origins.values() for each in parts.values())

            yield Sink(counts[0], counts[1], in_valkey)


def a_run(first: int, count: int, *, begins_at: int | None = None) -> Batch:
    """Return a batch of `count` consecutive records."""
    return a_stored_batch(
        *(a_stored_record(offset) for offset in range(first, first + count)), begins_at=begins_at
    )


async def elsewhere(handler: Handler, batch: Batch) -> int | None:
    """Return where the sink stands, by its refusal of `batch`."""
    with pytest.raises(Elsewhere) as raised:
        await handler.handle(batch)
    return raised.value.next_offset


async def test_an_empty_sink_has_no_position_until_it_is_begun(sink: Sink) -> None:
    """The first to begin decides where."""
    assert await sink.handler.position(P0) is None
    await sink.handler.begin(P0, 7)
    await sink.rival.begin(P0, 9)
    assert await sink.rival.position(P0) == 7
    assert await sink.handler.position(P1) is None


async def test_effect_and_position_move_together(sink: Sink) -> None:
    """A batch may begin at a marker before its first record."""
    await sink.handler.begin(P0, 0)
    await sink.handler.handle(a_run(1, 3, begins_at=0))
    assert (await sink.handler.position(P0), await sink.effects()) == (4, 3)
    await sink.handler.handle(a_run(6, 2, begins_at=4))
    assert (await sink.handler.position(P0), await sink.effects()) == (8, 5)


async def test_the_same_batch_again_is_refused_and_told_where_to_go(sink: Sink) -> None:
    """An answer that was lost: the write had happened."""
    await sink.handler.begin(P0, 0)
    await sink.handler.handle(a_run(0, 3))
    assert await elsewhere(sink.handler, a_run(0, 3)) == 3
    assert await sink.effects() == 3


async def test_a_rival_that_writes_first_is_followed_and_a_zombie_writes_nothing(
    sink: Sink,
) -> None:
    """Cut differently, begun before or behind: only what begins where the sink stands is taken."""
    await sink.handler.begin(P0, 0)
    await sink.rival.handle(a_run(0, 5))
    for zombie in (a_run(0, 7), a_run(3, 4), a_run(6, 2)):
        assert await elsewhere(sink.handler, zombie) == 5
    assert (await sink.rival.position(P0), await sink.effects()) == (5, 5)


async def test_a_sink_that_has_nothing_of_the_partition_refuses(sink: Sink) -> None:
    """It was emptied meanwhile; to begin is the runner's decision."""
    assert await elsewhere(sink.handler, a_run(3, 2)) is None
    assert await sink.effects() == 0


async def test_a_batch_whose_records_were_all_set_aside_moves_the_position(sink: Sink) -> None:
    """Otherwise they would come for ever."""
    await sink.handler.begin(P0, 0)
    await sink.handler.handle(a_run(0, 1).without(0))
    assert (await sink.handler.position(P0), await sink.effects()) == (1, 0)
    await sink.handler.handle(a_run(1, 1))
    assert (await sink.handler.position(P0), await sink.effects()) == (2, 1)
