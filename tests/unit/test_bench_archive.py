"""The archive's benchmark: wrong records are found, and costs are attributed correctly."""

import subprocess
import sys

import pytest
from support.bench_machine import MACHINE

from bench.archive.__main__ import Plan
from bench.archive.goals import Results, further_us, goals
from bench.archive.reading import Run, count
from bench.archive.tables import markdown
from bench.cost import Watch, precise_cpu_s


def a_run(reader: str, records: int = 1000, **figures: float) -> Run:
    """Return a run of 1 s; the run of our archive has archived each record once."""
    ours = {"lines": records, "different": records} if reader == "hookline" else {}
    usual = {"seconds": 1.0, "cpu_s": 1.0, "kafka_s": 0.1, "others": 0.0, "rss_mib": 100.0}
    return Run(reader=reader, records=records, **(usual | ours | figures))  # type: ignore[arg-type]


def test_goals_of_the_archive_compare_medians_at_one_size() -> None:
    """One bad round does not decide; other sizes count only for memory."""
    results = Results(
        records=1000,
        runs=[
            a_run("hookline", cpu_s=9, seconds=0.5),
            a_run("hookline", cpu_s=1.9, seconds=0.5),
            a_run("hookline", cpu_s=1.9, seconds=9),
            a_run("hookline", records=10, cpu_s=99, rss_mib=151),
            a_run("counting_tamed", cpu_s=1),
        ],
    )
    met = {goal.what: goal.met for goal in goals(results)}
    assert list(met.values()) == [True, None, False, None]
    results.runs.append(a_run("plain_loop", seconds=0.65))
    assert [goal.met for goal in goals(results)] == [True, False, False, None]


def test_the_start_of_a_process_does_not_count_as_a_cost_of_its_records() -> None:
    """3 s for the start and 1 ms per record is 1 ms per record at every size."""
    steady = [a_run("hookline", records=size, cpu_s=3 + size / 1000) for size in (10, 100, 5000)]
    results = Results(records=100, runs=steady)
    assert further_us(results) == pytest.approx({100: 1000, 5000: 1000})
    assert list(goals(results))[3].met is True
    grows = [*steady[:2], a_run("hookline", records=5000, cpu_s=9)]
    assert list(goals(Results(records=100, runs=grows)))[3].met is False


def test_a_record_that_is_archived_twice_or_never_is_wrong() -> None:
    """It is found even if both happen, so that the number of lines is right."""
    assert count([b'{"partition":1,"offset":5}', b'{"partition":0,"offset":5}']) == (2, 2)
    assert count(
        [
            b'{"partition":0,"offset":5}',
            b'{"partition":0,"offset":6}',
            b'{"partition":0,"offset":6}',
        ]
    ) == (3, 2)
    assert count([]) == (0, 0)
    assert a_run("hookline").wrong == 0
    for lines, different in ((999, 999), (1001, 1000), (1000, 999), (1001, 1001)):
        run = a_run("hookline", lines=lines, different=different)
        assert run.wrong > 0
        assert (
            "**" in markdown(Results(records=1000, runs=[run]), MACHINE, rounds=1).split("Goals")[0]
        )


def test_at_other_sizes_only_this_archive_is_measured() -> None:
    """Peers are compared at one size."""
    plan = Plan(only=("hookline", "counting", "sizes"), records=5, rounds=1, sizes=(5, 9))
    assert plan.readers(5) == ["hookline", "counting"]
    assert plan.readers(9) == ["hookline"]


def test_cpu_of_a_process_counts_only_for_that_process() -> None:
    """Neither of the two clocks counts the time of the test's process."""
    burn = "import time\nwhile time.process_time() < 0.1: pass\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as busy:
        watch = Watch([busy.pid], [])
        assert busy.stdout is not None
        busy.stdout.readline()
        (busy_s, nobody_s), others = watch.used()
        assert 0.1 <= precise_cpu_s(busy.pid) < 1
        assert 0.05 <= busy_s < 1
        assert nobody_s == 0
        assert 0 <= others <= 1
        busy.communicate(b"\n")
