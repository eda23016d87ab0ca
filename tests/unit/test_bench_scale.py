"""The benchmark of scale assigns cores, says where there are too few, and finds wrong records."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from support.bench_machine import MACHINE as MACHINE_OF_TWO_CORES

from bench.scale.archive import ArchiveRun
from bench.scale.cores import assign, pin
from bench.scale.ingress import IngressRun
from bench.scale.tables import markdown, times_first

MACHINE = replace(MACHINE_OF_TWO_CORES, cores=3)
INGRESS = IngressRun(
    size=1,
    round=0,
    cores=assign(range(3), servers=1, has_load=True),
    ok=100,
    failed=5,
    seconds=1,
    p99_ms=1,
    cpu_us=1,
    others=0,
    stored=102,
    records=102,
    different=102,
)
ARCHIVE = ArchiveRun(
    size=1,
    round=0,
    cores=assign(range(3), servers=1, has_load=False),
    expected=100,
    seconds=1,
    cpu_us=1,
    others=0,
    lines=100,
    different=100,
)


def test_no_core_has_two_of_servers_generators_and_kafka_where_there_are_enough() -> None:
    """Eight processes of the ingress need 14 cores, six members of the archive 8."""
    ingress = assign(range(2, 16), servers=8, has_load=True)
    archive = assign(range(8), servers=6, has_load=False)
    for cores, needed in ((ingress, 14), (archive, 8)):
        assert cores.own
        taken = [*chain(*cores.servers, *cores.generators), *cores.kafka]
        assert len(taken) == len(set(taken)) == cores.needed == needed
    assert set(ingress.kafka) <= set(range(2, 16))
    assert (len(ingress.servers), len(ingress.generators), len(archive.generators)) == (8, 4, 0)


def test_valkey_has_a_core_of_its_own_beside_the_members_of_the_counters() -> None:
    """Its one thread does what all members ask for."""
    cores = assign(range(6), servers=4, has_load=False, has_valkey=True)
    assert cores.own
    assert sorted([*chain(*cores.servers), *cores.kafka, *cores.valkey]) == list(range(6))
    few = assign(range(5), servers=4, has_load=False, has_valkey=True)
    assert (few.own, few.needed, few.valkey) == (False, 6, tuple(range(5)))
    assert assign(range(5), servers=4, has_load=False).valkey == ()


def test_all_share_all_cores_where_there_are_too_few() -> None:
    """One core too few, and none is pinned: a pinned server would only wait for the others."""
    cores = assign(range(13), servers=8, has_load=True)
    assert not cores.own
    assert cores.needed == 14
    for some in (*cores.servers, *cores.generators, cores.kafka):
        assert some == tuple(range(13))


def test_all_threads_of_a_process_stay_on_its_cores() -> None:
    """Those that run already, too: Kafka has them before its cores are known."""
    core = max(os.sched_getaffinity(0))
    wait = "import threading; threading.Thread(target=input).start(); print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pin(process.pid, [core])
        threads = [int(each.name) for each in Path(f"/proc/{process.pid}/task").iterdir()]
        assert len(threads) == 2
        assert [os.sched_getaffinity(thread) for thread in threads] == [{core}] * 2
        process.communicate(b"\n")


@pytest.mark.parametrize(
    "run",
    [
        replace(INGRESS, ok=103),
        replace(INGRESS, stored=103),
        replace(INGRESS, records=103),
        replace(INGRESS, records=102, different=101),
        replace(ARCHIVE, lines=99, different=99),
        replace(ARCHIVE, lines=101),
        replace(ARCHIVE, different=99),
    ],
)
def test_a_lost_or_repeated_record_is_wrong(run: IngressRun | ArchiveRun) -> None:
    """Stored rows without an OK are right: the answer was late. They must be in Kafka, too."""
    assert INGRESS.wrong == ARCHIVE.wrong == 0
    assert run.wrong > 0


def test_growth_compares_runs_of_one_round() -> None:
    """The second round ran at half of the speed; two processes answered twice as much in both."""
    runs = [
        replace(INGRESS, size=size, round=number, seconds=seconds)
        for size, number, seconds in ((2, 0, 1), (1, 0, 2), (1, 1, 4), (2, 1, 2))
    ]
    assert times_first(runs, 2) == [2, 2]
    row = next(
        line
        for line in markdown(runs, [], MACHINE, rounds=2).splitlines()
        if line.startswith("| 2 |")
    )
    assert row.startswith("| 2 | 75 (50 to 100) | 2.0 |")


def test_the_page_says_which_rows_shared_cores() -> None:
    """Without the warning, a reader would take the machine's limit for the product's."""
    few = assign(range(3), servers=2, has_load=True)
    page = markdown([INGRESS, replace(INGRESS, size=2, cores=few)], [ARCHIVE], MACHINE, rounds=1)
    assert "**This machine has 3 cores; rows marked “shared” need 4." in page
    cells = [line.split(" | ")[-2] for line in page.splitlines() if line[:4] in ("| 1 ", "| 2 ")]
    assert cells == ["1 + 1 load + 1 Kafka", "shared", "1 + 1 Kafka"]
    assert "**" not in markdown([INGRESS], [ARCHIVE], MACHINE, rounds=1)


def test_a_busy_machine_is_mentioned_above_the_results() -> None:
    """A reader who copies a figure has read the warning."""
    page = markdown([replace(INGRESS, others=0.4)], [], MACHINE, rounds=1)
    assert "**Other processes took up to 40% of the machine" in page.partition("###")[0]
