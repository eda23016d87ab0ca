"""
Tasks end when they are cancelled, also if a library swallows the cancellation.

Until Python 3.12, `asyncio.wait_for` drops a cancellation that comes together with the result.
"""

import ast
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from support.builders import P0
from support.parsed import ROOT, of_each, parsed, product_files
from support.runner_bench import RunnerBench

from consumers.runtime import partition_ends
from consumers.runtime.batch import Partition, Position
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.partition_ends import PartitionEnds
from consumers.stats.live import Live
from consumers.stats.pipeline import Pipeline
from consumers.sync import maintenance
from ops.counters import lock
from schemas.setting import Secret

Loop = Callable[[], Coroutine[Any, Any, None]]


class Library:
    """A call of a library that swallows the first cancellation and returns."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def call(self, *_: object) -> None:
        """Return when it is cancelled."""
        self.called.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """Return a library that the loops call."""
    made = Library()

    async def is_ours(*_: object) -> bool:
        await made.call()
        return True

    monkeypatch.setattr(maintenance, "maintain", made.call)
    monkeypatch.setattr(maintenance, "INTERVAL_S", 0.0)
    monkeypatch.setattr(lock, "_is_ours", is_ours)
    monkeypatch.setattr(lock, "RENEW_INTERVAL_S", 0.0)
    monkeypatch.setattr("consumers.stats.live.UPDATE_S", 0.0)
    return made


def live_updates(library: Library) -> Loop:
    """Return the loop of the statistics API that asks Valkey for the live counts."""

    class Counts:
        async def added(self, _: object) -> None:
            await library.call()

    return Live(cast("Any", Counts()), None, lambda: None).run


def ends_of_partitions(library: Library, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Return the loop of a consumer that asks Kafka for its last offsets."""
    monkeypatch.setattr(partition_ends, "ASK_INTERVAL_S", 0.0)
    monkeypatch.setattr(PartitionEnds, "_ask", library.call)
    return PartitionEnds(cast("Any", None), KafkaAvailability("the test")).run


def pipeline(library: Library, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Return the loop of the statistics that asks every process of the pipeline."""
    monkeypatch.setattr("consumers.stats.pipeline.POLL_S", 0.0)
    monkeypatch.setattr(Pipeline, "measured", library.call)
    return Pipeline(cast("Any", None)).watch


@pytest.mark.parametrize(
    "name",
    [
        *("live updates", "maintenance of tables", "lock of a rebuild"),
        *("ends of partitions", "state of the pipeline"),
    ],
)
async def test_a_loop_ends_though_a_library_swallows_its_cancellation(
    library: Library, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else the process would not end at SIGTERM."""
    loops: dict[str, Loop] = {
        "live updates": live_updates(library),
        "maintenance of tables": lambda: maintenance.maintain_until_stopped(Secret("")),
        "lock of a rebuild": lambda: lock._renew(cast("Any", None), ""),  # noqa: SLF001
        "ends of partitions": ends_of_partitions(library, monkeypatch),
        "state of the pipeline": pipeline(library, monkeypatch),
    }
    running = asyncio.create_task(loops[name]())
    async with asyncio.timeout(180):
        await library.called.wait()
    running.cancel()
    done, _ = await asyncio.wait((running,), timeout=180)
    running.cancel()
    assert done
    assert running.cancelled()


async def test_a_revocation_ends_a_worker_though_the_sink_swallows_its_cancellation() -> None:
    """Else the member would deliver nothing more, and keep its partitions, for ever."""
    bench, library = RunnerBench(), Library()
    position = bench.sink.position

    async def swallowing(partition: Partition) -> Position | None:
        if not library.called.is_set():
            await library.call()
        return await position(partition)

    bench.sink.position = swallowing  # type: ignore[method-assign]
    bench.assign(P0)
    async with asyncio.timeout(180):
        await library.called.wait()
    revoking = asyncio.create_task(bench.runner.revoke_all())
    done, _ = await asyncio.wait((revoking,), timeout=180)
    assert done
    assert bench.sink.applied == {}


# Endless loops that wait for nothing but asyncio and our own code, or whose calls check it.
CHECKED_ELSEWHERE = {
    "consumers/counters/counts.py handle": "each call of the script ends in time",
    "consumers/counters/counts.py _count_part": "each call of the script ends in time",
    "consumers/runtime/commits.py run": "a commit is a task of its own",
    "consumers/runtime/partition_worker.py _run": "RoundSignal checks it",
    "consumers/runtime/partition_worker.py _deliver": "RoundSignal checks it",
    "consumers/runtime/positioning.py find_or_store_position": "RoundSignal checks it",
    "consumers/stats/store.py catalog": "it ends once Valkey has answered",
    "ingress/forward/adopter.py run": "the forwarder, a task of its own, checks it",
    "ingress/http/failure_log.py watch": "asyncio alone",
    "ingress/http/server.py close_late_connections": "asyncio alone",
    "ops/archive/verify.py verify": "a thread reads the store",
    "ops/audit/audit.py show_progress": "asyncio alone",
    "ops/demo/supervisor.py watch": "asyncio alone",
    "schemas/clients.py _close_now": "it cancels tasks again until all have ended",
    "schemas/rate.py watch": "asyncio alone",
    "schemas/tokens_file.py watch": "a thread reads the file",
}


def unchecked_loops(path: Path) -> set[str]:
    """Return the asynchronous functions of a file with an endless loop that does not check."""
    return {
        function.name
        for function in ast.walk(parsed(path, "while True"))
        if isinstance(function, ast.AsyncFunctionDef)
        for loop in ast.walk(function)
        if isinstance(loop, ast.While) and ast.unparse(loop.test) == "True"
        if "await " in (text := ast.unparse(loop)) and "check_cancellation()" not in text
    }


def test_each_endless_loop_checks_whether_it_was_cancelled() -> None:
    """So a new loop over calls of a library does, too."""
    unchecked = {
        f"{path.relative_to(ROOT)} {name}"
        for path, names in of_each(unchecked_loops, product_files()).items()
        for name in names
    }
    assert unchecked == set(CHECKED_ELSEWHERE)
