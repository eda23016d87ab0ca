"""Three real ingresses in every combination of up, stopped, dead and unreachable."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.builders import a_wire_record
from support.processes.ingress import Ingress, until

from ingress.spool.directory import hold
from ingress.spool.row import encode
from ingress.spool.spool_lock import FILE_SUFFIX
from ops.audit import ends_reader
from ops.audit.ends_reader import read_ends
from ops.audit.spool_ends import SpoolEnds
from ops.demo.embedded.child import free_port

UP, STOPPED, UNREACHABLE, DEAD = "up", "stopped", "unreachable", "dead"
STATES = (UP, STOPPED, UNREACHABLE, DEAD)
SPOOL_BYTES_MAX = 64 << 20


class Replica:
    """An ingress in one of the states; all of its rows are in Kafka."""

    def __init__(self, directory: Path, log: Path) -> None:
        # No Kafka is needed: there is nothing to forward.
        self._ingress = Ingress(directory, f"127.0.0.1:{free_port()}", log=log)
        self._directory = directory
        self._nowhere = free_port()
        self.state = DEAD
        self.spool = ""

    async def become(self, state: str) -> None:
        """Go to another state."""
        if state == DEAD or self.state == STOPPED:
            self._ingress.thaw()
        if state == DEAD:
            self._ingress.kill()
        elif self.state == DEAD:
            await self._ingress.start()
            self.spool = (await self._ingress.status())["spools"][0]["name"]
            # As if it had stored a row: an end that another process read before is then outdated.
            (self._directory / f"{self.spool}{FILE_SUFFIX}").touch()
        if state == STOPPED:
            await until(self._is_frozen_with_its_spool_alone, f"{self.spool} alone is held")
        self.state = state

    def _is_frozen_with_its_spool_alone(self) -> bool:
        """Freeze it, but not while it has the spool of a dead one open: it would keep its lock."""
        self._ingress.freeze()
        open_files = Path(f"/proc/{self._ingress.process.pid}/fd").iterdir()
        with contextlib.suppress(FileNotFoundError):  # it is not frozen yet
            paths = [file.readlink() for file in open_files]
            if {path.stem for path in paths if path.parent == self._directory} == {self.spool}:
                return True
        self._ingress.thaw()
        return False

    @property
    def address(self) -> str:
        """Return the address of its admin port; if it is unreachable, a port without a listener."""
        port = self._nowhere if self.state == UNREACHABLE else self._ingress.admin_port
        return f"http://127.0.0.1:{port}"

    def end(self) -> None:
        """Kill its process."""
        self._ingress.kill()


def make_spools(directory: Path, count: int) -> None:
    """Make spools with some callbacks, all of which are in Kafka."""
    directory.mkdir()
    for number in range(1, count + 1):
        spool = hold(directory, f"{number:016x}", bytes_max=SPOOL_BYTES_MAX)
        spool.writer.commit([encode(a_wire_record(n), n) for n in range(number)], 0)
        spool.writer.commit([], number)
        spool.close()


@asynccontextmanager
async def three(directory: Path, logs: Path) -> AsyncIterator[list[Replica]]:
    """Yield three replicas that are up."""
    replicas = [Replica(directory, logs / f"{number}.log") for number in range(3)]
    try:
        for replica in replicas:
            await replica.become(UP)
        yield replicas
    finally:
        for replica in replicas:
            replica.end()


def all_combinations() -> Iterator[tuple[str, ...]]:
    """Yield all combinations, each differing from the one before in one replica (a Gray code)."""
    for first, second, third in itertools.product(range(4), repeat=3):
        second_state = second if first % 2 == 0 else 3 - second
        third_state = third if (first + second_state) % 2 == 0 else 3 - third
        yield STATES[first], STATES[second_state], STATES[third_state]


def combinations_of_pairs() -> Iterator[tuple[str, ...]]:
    """Yield 16 combinations, in which any two replicas have every pair of states."""
    for first, second in itertools.product(range(4), repeat=2):
        second_state = second if first % 2 == 0 else 3 - second
        yield STATES[first], STATES[second_state], STATES[(first + second_state) % 4]


def expected(
    replicas: list[Replica], directory: Path
) -> list[tuple[list[str], Path | None, set[str]]]:
    """Return the addresses to ask, the directory to read, and what must be doubted then."""
    every = [replica.address for replica in replicas]
    up = [replica.address for replica in replicas if replica.state == UP]
    failing = {replica.address for replica in replicas if replica.state != UP}
    silent = {replica.spool for replica in replicas if replica.state in (STOPPED, UNREACHABLE)}
    questions: list[tuple[list[str], Path | None, set[str]]] = [
        # Where none is up, none says that there are spools at all.
        (every, None, failing | (silent if up else set())),
        (up, directory, silent),
    ]
    return [*questions, (up, None, silent)] if up else questions


@pytest.mark.timeout(600)
async def test_nothing_is_proven_unless_the_end_of_every_origin_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scaled: Callable[..., int]
) -> None:
    """
    Ask all addresses, those that are up, and the directory, in 16 combinations of states or all 64.

    tests/unit/test_ends.py has all combinations, of answers without processes.
    """
    monkeypatch.setattr(ends_reader, "STATUS_TIMEOUT_S", 0.3)
    directory = tmp_path / "spools"
    make_spools(directory, 3)
    chosen = list(all_combinations() if scaled(16, at_most=64) == 64 else combinations_of_pairs())
    cases = certain = 0
    async with three(directory, tmp_path) as replicas:
        for states in chosen:
            for replica, state in zip(replicas, states, strict=True):
                if replica.state != state:
                    await replica.become(state)
            questions = expected(replicas, directory)
            for addresses, look, doubted in questions:
                await asked(states, addresses, look, doubted)
            cases += len(questions)
            certain += sum(not doubted for _, _, doubted in questions)
    print(f"{cases} questions in {len(chosen)} combinations, {certain} with every end known")  # noqa: T201
    assert cases == sum(2 + (UP in states) for states in chosen)


async def asked(
    states: tuple[str, ...], addresses: list[str], look: Path | None, doubted: set[str]
) -> None:
    """Return when the answers doubt exactly `doubted`; fail if they ever doubt less."""

    async def holds() -> bool:
        ends = await read_ends(addresses, look)
        if set(ends.unanswered) - doubted:
            # On a busy machine an ingress that is up answers too late, and is doubted itself.
            return False
        assert set(ends.doubts) >= doubted, (states, ends)
        # An adopter needs a moment to look into a spool.
        return set(ends.doubts) == doubted and is_right(ends)

    await until(holds, f"{states} asked at {addresses} gives {doubted}")


def is_right(ends: SpoolEnds) -> bool:
    """Return whether each known end is the one that the spool was made with."""
    return all(
        last == (int(origin, 16) if int(origin, 16) <= 3 else 0)
        for origin, last in ends.last_sequences.items()
        if last is not None
    )


async def test_every_address_of_a_name_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two replicas with one name is stopped: its address and its spool are reported."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "127.0.0.2"]

    monkeypatch.setattr(ends_reader, "resolve", resolve)
    monkeypatch.setattr(ends_reader, "STATUS_TIMEOUT_S", 10.0)
    directory = tmp_path / "spools"
    kafka = f"127.0.0.1:{free_port()}"
    here = Ingress(directory, kafka, log=tmp_path / "1.log")
    there = Ingress(
        directory,
        kafka,
        log=tmp_path / "2.log",
        admin_port=here.admin_port,
        admin_host="127.0.0.2",
    )
    there.admin_port = here.admin_port
    name = f"http://ingress:{here.admin_port}"
    try:
        await here.start()
        there.launch()

        async def both() -> bool:
            ends = await read_ends([name], None)
            return len(ends.last_sequences) == 2 and not ends.doubts

        await until(both, "both addresses answer")
        there.freeze()
        ends = await read_ends([name], None)
        (spool,) = set(ends.last_sequences) - {(await here.status())["origin"]}
        assert set(ends.doubts) == {spool, f"http://127.0.0.2:{here.admin_port}"}
    finally:
        await asyncio.to_thread(here.kill)
        there.kill()
