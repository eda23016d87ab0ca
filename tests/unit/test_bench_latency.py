"""The benchmark of the latency: when a record became visible, what is missed, what is shown."""

from collections import Counter
from dataclasses import replace

import pytest
from support.bench_machine import MACHINE

from bench.ingress.load import Report
from bench.latency.exactly_once import Arrived
from bench.latency.goals import Results, goals
from bench.latency.observer import PLACES
from bench.latency.run import Run
from bench.latency.steps import Quantiles, Steps, quantiles
from bench.latency.tables import markdown

ORIGIN = "an-origin"


def a_run(p99_ms: float = 100, *, ok_per_s: float = 1000, late_ms: float = 50) -> Run:
    """Return a run at 1,000/s with the same latencies in every place."""
    quantiles = Quantiles(p50_ms=1, p99_ms=p99_ms, max_ms=999, late_ms=late_ms)
    return Run(
        rate=1000,
        round=0,
        report=Report(
            ok=1000,
            others={},
            unanswered=0,
            seconds=1000 / ok_per_s,
            p50_ms=1,
            p99_ms=2,
            max_ms=3,
            cpu_s=0,
        ),
        latencies=dict.fromkeys(PLACES, quantiles),
        blind_ms=9,
        blind_p99_ms=6,
        cpu_s={"ingress": 0.1, "sync": 0.2},
        others=0,
        records=[(ORIGIN, 1)] * 1000,
    )


def arrived() -> Arrived:
    """Return three callbacks that are once in every place."""
    return Arrived(
        origin=ORIGIN,
        stored=3,
        kafka=Counter((ORIGIN, sequence) for sequence in (1, 2, 3)),
        receipts=[(ORIGIN, 3, 1, 3)],
        messages=3,
        applied=3,
        sequence_sum=6,
        counted=3,
        repeats=0,
    )


def test_a_record_is_visible_when_the_progress_is_first_seen_at_its_place() -> None:
    """Between two polls several records become visible; the later poll sees all of them."""
    steps = Steps()
    for reached, seen_at in ((5, 1.0), (5, 2.0), (8, 3.0), (9, 4.0)):
        steps.note(reached, seen_at)
    assert [steps.time_of(place) for place in (4, 5, 6, 8, 9)] == [1, 1, 3, 3, 4]
    assert steps.last == 9
    with pytest.raises(IndexError):
        steps.time_of(10)


def test_quantiles_are_of_all_and_lateness_is_of_the_last_ones() -> None:
    """A system that falls further and further back is late at its end."""
    assert quantiles([float(n) for n in range(100)]) == Quantiles(
        p50_ms=50_000, p99_ms=99_000, max_ms=99_000, late_ms=95_000
    )
    assert quantiles([0.5]).late_ms == 500


def test_the_median_of_the_rounds_decides_each_goal() -> None:
    """Kafka has a goal of its own; a rate that was not measured meets no goal and misses none."""
    met = [goal.met for goal in goals(Results(runs=[a_run(100), a_run(300), a_run(9000)]))]
    assert met == [False, True, True]
    assert [goal.met for goal in goals(Results())] == [None, None, None]
    assert [goal.met for goal in goals(Results(runs=[replace(a_run(), rate=10)]))] == [None] * 3


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (a_run(ok_per_s=900), "900/s answered OK"),
        (a_run(late_ms=1500), "counts 1.5 s late at the end"),
    ],
)
def test_a_rate_that_is_not_carried_misses_its_goals_and_is_named_first(
    run: Run, reason: str
) -> None:
    """The latencies of those that were answered would look good."""
    results = Results(runs=[run])
    assert [goal.met for goal in goals(results)] == [False] * 3
    page = markdown(results, MACHINE, rounds=1, seconds=1)
    assert reason in page.partition("###")[0]
    assert "| 1,000 (not carried) | counts |" in page


def test_the_page_shows_the_error_of_the_method_and_the_cost() -> None:
    """A quiet machine that carries the rates is not mentioned."""
    overloaded = replace(a_run(ok_per_s=1), rate=5000, blind_ms=700, blind_p99_ms=600)
    assert "at most 6 ms" in markdown(
        Results(runs=[a_run(), overloaded]), MACHINE, rounds=1, seconds=1
    )
    page = markdown(Results(runs=[a_run()]), MACHINE, rounds=1, seconds=1)
    assert "at most 6 ms for 99 % of the polls, 9 ms for all" in page
    assert "| 1,000 | Kafka | 1 | 100 | 999 |" in page
    assert "| 1,000 | the sender: OK | 1 | 2 | 3 |" in page
    assert "| 1,000 | 100 | 200 | 300 | 0 |" in page
    assert "**" not in page
    busy = markdown(
        Results(runs=[replace(a_run(), others=0.4)]), MACHINE, rounds=1, seconds=1
    ).partition("###")[0]
    assert "Other processes took up to 40% of the machine" in busy


@pytest.mark.parametrize(
    "changed",
    [
        {"stored": 4},
        {"kafka": Counter([(ORIGIN, 1), (ORIGIN, 2)])},
        {"kafka": Counter([(ORIGIN, 1), (ORIGIN, 2), (ORIGIN, 3), (ORIGIN, 3)])},
        {"kafka": Counter([(ORIGIN, 1), (ORIGIN, 2), (ORIGIN, 3), ("another", 1)])},
        {"receipts": [(ORIGIN, 2, 1, 3)]},
        {"receipts": [(ORIGIN, 3, 1, 3), ("another", 1, 1, 1)]},
        {"messages": 2},
        {"applied": 4},
        {"sequence_sum": 5},
        {"counted": 4},
        {"repeats": 1},
    ],
)
def test_a_callback_that_is_missing_or_twice_anywhere_is_a_fault(
    changed: dict[str, object],
) -> None:
    """Every OK must be once in every place."""
    assert list(arrived().faults(3)) == []
    assert list(replace(arrived(), **changed).faults(3))  # type: ignore[arg-type]  # typed by each case


def test_an_ok_that_the_ingress_did_not_store_is_a_fault() -> None:
    """A callback may be stored without an OK, but not the other way round."""
    assert list(arrived().faults(2)) == []
    assert list(arrived().faults(4)) == ["4 callbacks were answered OK, 3 are stored"]
