"""What stops the counters, what they leave uncounted, and the bounds of what they keep."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.builders import APP, MAD_TIMES, P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from valkey import Valkey

from consumers.counters.counts import CountersHandler
from consumers.counters.zones import Zones
from consumers.runtime.batch import Position, Record
from consumers.runtime.handler import PositionDiffers, Stopped
from ops.demo.embedded import child
from ops.demo.embedded.valkey import EmbeddedValkey

RECEIVED_MS = 1_700_000_000_123


@dataclass
class Counting:
    """Counters in an empty Valkey, and a client of it."""

    counts: CountersHandler
    valkey: Valkey
    url: str
    reached: int = 0

    async def count(self, *records: Record) -> None:
        """Count these records."""
        numbered = [each._replace(offset=self.reached + at) for at, each in enumerate(records)]
        await self.counts.handle(a_stored_batch(*numbered))
        self.reached += len(numbered)

    def total(self, figure: str) -> int:
        """Return a figure of all time."""
        return int(self.valkey.execute_command("HGET", f"hookline:1:totals:{APP}", figure) or 0)


@pytest.fixture
async def made(valkey_url: str) -> AsyncIterator[Counting]:
    """Yield counters."""
    counts = counting(valkey_url, conversations_max=5)
    await counts.store_first_position(P0, Position(0))
    with closing(Valkey.from_url(valkey_url)) as valkey:
        yield Counting(counts, valkey, valkey_url)
    await counts.close()


def a_message(number: int, at_ms: int = RECEIVED_MS, **fields: object) -> Record:
    """Return the record of a message, which differs from others."""
    return a_stored_record(number, a_body(MsgKey=f"{number}", **fields), received_at_ms=at_ms)


async def test_a_node_of_a_cluster_is_refused(tmp_path: Path) -> None:
    """One call of the script writes keys of every name."""
    server = EmbeddedValkey(tmp_path)
    arguments = ["--port", str(server.port), "--bind", "127.0.0.1", "--cluster-enabled", "yes"]
    # By default it is the port plus 10,000, which the kernel gives to outgoing connections, too.
    arguments += ["--cluster-port", str(child.free_port())]
    server.data.mkdir()
    program = server._program  # noqa: SLF001 - the same program with another option
    process = child.start([program, *arguments, "--dir", server.data], log=server.log)
    try:
        child.until_up(lambda: process, server.answers, log=server.log)
        counts = counting(server.url)
        with pytest.raises(Stopped, match="node of a cluster"):
            await counts.position(P0)
        await counts.close()
    finally:
        child.kill(process)


async def test_a_process_with_another_zone_stops(made: Counting) -> None:
    """Days of two zones must not be mixed; nothing is counted."""
    await made.count(a_message(1))
    other = counting(made.url, zones=Zones("Asia/Shanghai", {APP: "Europe/Berlin"}))
    with pytest.raises(Stopped, match=f"{APP} are counted in the time zone Asia/Shanghai"):
        await other.handle(a_stored_batch(a_message(2)._replace(offset=1)))
    await other.close()
    assert made.total("callbacks") == 1


async def test_a_new_generation_is_counted_into_from_its_own_position(made: Counting) -> None:
    """The old one is not changed any more."""
    await made.count(a_message(1), a_message(2))
    made.valkey.hset("hookline:2:positions", str(P0), "1 - - - -")
    made.valkey.set("hookline:generation", 2)
    with pytest.raises(PositionDiffers) as differs:
        await made.count(a_message(3))
    assert differs.value.next_offset == 1
    made.reached = 1
    await made.count(a_message(2), a_message(3))
    assert made.total("callbacks") == 2
    assert made.valkey.execute_command("HGET", f"hookline:2:totals:{APP}", "callbacks") == b"2"


async def test_names_of_commands_are_bounded(made: Counting) -> None:
    """Only totals have the names of commands that are not known, up to a number."""
    for first in range(0, 1100, 100):
        await made.count(
            *(
                a_stored_record(
                    at,
                    a_body(CallbackCommand=f"New.{at}", MsgKey=None, EventTime=at + 1),
                )
                for at in range(first, first + 100)
            )
        )
    assert made.total("command:New.999") == 1
    assert made.total("command:other") == 100
    assert made.total("callbacks") == 1100
    (day,) = made.valkey.scan_iter("hookline:1:quarters:*")
    assert made.valkey.execute_command("HLEN", day) < 10


async def test_above_a_bound_new_conversations_are_not_counted(made: Counting) -> None:
    """The totals say since when."""
    await made.count(*(a_message(at, To_Account=f"r{at}") for at in range(5)))
    await made.count(*(a_message(at, To_Account=f"r{at}") for at in range(5)))
    assert made.total("uncounted:new_conversations") == 0
    await made.count(*(a_message(at + 10, To_Account=f"r{at}") for at in range(8)))
    assert made.total("new_conversations") == 5
    assert made.total("uncounted:new_conversations") == RECEIVED_MS // 60_000 * 60


async def test_a_mad_clock_makes_no_keys_outside_of_the_bounds(made: Counting) -> None:
    """Every key is of the time of receipt, whatever time a message has."""
    times = [*MAD_TIMES, -86400, 0, 2_556_144_000, "2556144000"]
    await made.count(
        *(a_message(number, MsgTime=time) for number, time in enumerate(times)),
        *(a_message(100 + number, EventTime=time) for number, time in enumerate(times)),
    )
    assert made.total("callbacks") == 2 * len(times)
    dated = [
        part
        for key in made.valkey.scan_iter("*")
        for part in key.decode().split(":")
        if part[:2] in {"19", "20"} or part.startswith("h4")
    ]
    assert {part[:8] for part in dated} <= {"20231114", "2023-11", "2023-11-", "h472222"}


@pytest.mark.timeout(600)
def test_an_estimate_is_within_its_error(
    valkey_url: str, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """The standard error of sketches, over many sets of people, also of merged ones."""
    seeds = scaled(50)
    squares, worst = 0.0, 0.0
    with Valkey.from_url(valkey_url) as valkey:
        for seed in range(seeds):
            chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
            number = chance.choice((100, 3000, 20_000))
            people = [str(chance.getrandbits(63)) for _ in range(number)]
            valkey.delete("one", "two")
            valkey.pfadd("one", *people[: number * 2 // 3])
            valkey.pfadd("two", *people[number // 3 :])
            error = valkey.execute_command("PFCOUNT", "one", "two") / number - 1
            squares, worst = squares + error * error, max(worst, abs(error))
    error = (squares / seeds) ** 0.5
    say(f"{seeds} sets of people: standard error {error:.4f}, largest {worst:.4f}")
    assert error < 0.0081 * 1.25
    assert worst < 0.0081 * 5
