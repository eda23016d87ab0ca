"""The benchmark of the ingress compares runs of one round, and shows what disturbed them."""

from dataclasses import replace

import msgspec
import pytest
from support.bench_machine import MACHINE

from bench.goals import Goal, in_turn
from bench.ingress.goals import Results, goals, ratios
from bench.ingress.load import Report
from bench.ingress.measure import Cost, Figures
from bench.ingress.outage import HalfLoad
from bench.ingress.tables import markdown
from bench.markdown import goal_table


def figures(
    server: str,
    *,
    ok_per_s: float = 1000,
    cpu_us: float = 100,
    number: int = 0,
    connections: int = 64,
    different: int = 100,
) -> Figures:
    """Return the run of round `number` with 100 OKs."""
    return Figures(
        server=server,
        connections=connections,
        round=number,
        report=Report(
            ok=100,
            others={},
            unanswered=0,
            seconds=100 / ok_per_s,
            p50_ms=1000 / ok_per_s,
            p99_ms=2000 / ok_per_s,
            max_ms=3000 / ok_per_s,
            cpu_s=0.01,
        ),
        cost=Cost(server_us=cpu_us, load_us=1, kafka_us=1, others=0),
        rss_mib=50,
        records=different,
        different=different,
    )


def by_goal(results: Results) -> dict[str, Goal]:
    """Return the goals by the part of their text that the tests know."""
    return {goal.what: goal for goal in goals(results)}


def test_a_ratio_compares_two_runs_of_one_round() -> None:
    """The machine becomes ten times slower from round to round: the ratio stays."""
    results = Results(
        closed=[
            run
            for number, slow in enumerate((1, 10, 100))
            for run in (
                figures("hookline", cpu_us=80 * slow, ok_per_s=2000 / slow, number=number),
                figures("hello", cpu_us=100 * slow, ok_per_s=1000 / slow, number=number),
            )
        ]
    )
    cpu = by_goal(results)["CPU per callback / `hello`"]
    assert cpu.rounds == pytest.approx([0.8, 0.8, 0.8])
    assert by_goal(results)["OK/s / `hello`"].measured == pytest.approx(2)
    assert cpu.met is True


def test_the_median_of_the_rounds_decides_and_their_spread_is_shown() -> None:
    """One bad round does not decide; a goal that was not measured is neither met nor missed."""
    results = Results(
        closed=[
            run
            for number, cpu_us in enumerate((60, 300, 70))
            for run in (
                figures("hookline", cpu_us=cpu_us, number=number),
                figures("hello", cpu_us=100, number=number),
            )
        ]
    )
    judged = by_goal(results)
    assert judged.pop("CPU per callback / `hello`").met is True
    assert judged.pop("OK/s / `hello`").met is False
    assert {goal.met for goal in judged.values()} == {None}
    assert (
        "| CPU per callback / `hello` | ≤ 0.85 | 0.70 (0.60 to 3.00) | 2 of 3 | met |"
        in goal_table(goals(results))
    )
    assert "| CPU per callback / `bare` | ≤ 1.05 |  |  | not measured |" in goal_table(
        goals(results)
    )


def test_rounds_in_which_one_of_the_two_did_not_answer_give_no_ratio() -> None:
    """Their CPU and latency would be those of no callback at all."""
    answered = figures("hookline", number=1)
    silent = replace(answered, report=msgspec.structs.replace(answered.report, ok=0))
    ours, peer = [figures("hookline"), silent], [figures("hello", number=n) for n in (0, 1, 2)]
    assert ratios(ours, peer, lambda run: run.cost.server_us) == [1]
    assert ratios(peer, ours, lambda run: run.cost.server_us) == [1]


def test_goals_use_the_connections_that_they_name() -> None:
    """One connection for the shortest answer, else 64."""
    results = Results(
        closed=[
            figures("hookline", connections=1, ok_per_s=2000),
            figures("aiohttp_awaiting", connections=1, ok_per_s=1000),
            figures("hookline", ok_per_s=3000),
            figures("aiohttp_awaiting", ok_per_s=1000),
            figures("hookline_ids", cpu_us=110),
        ]
    )
    measured = {what: goal.measured for what, goal in by_goal(results).items() if goal.rounds}
    assert measured == pytest.approx(
        {
            "CPU per callback, new ids in each request / without ids": 1.1,
            "OK/s / `aiohttp_awaiting`": 3,
            "p50, one connection / `aiohttp_awaiting`": 0.5,
        }
    )


def test_half_load_gives_a_ratio_of_each_round() -> None:
    """Kafka up and Kafka down are measured on one process, one after the other."""
    halves = [
        HalfLoad(
            rate=1, up=figures("hookline", ok_per_s=ups), down=figures("hookline", ok_per_s=500)
        )
        for ups in (500, 1000, 250)
    ]
    judged = by_goal(Results(half_load=halves))
    assert judged["p99 at half load, Kafka up"].rounds == pytest.approx([4, 2, 8])
    assert judged["p99 at half load, Kafka up / down"].rounds == pytest.approx([1, 0.5, 2])


def test_the_order_of_the_servers_is_reversed_in_every_other_round() -> None:
    """A B C, C B A: none is always the first after a pause or the last of a busy phase."""
    assert [in_turn("ABC", number) for number in range(3)] == ["ABC", "CBA", "ABC"]


def test_a_busy_machine_and_a_missing_peer_are_mentioned_above_the_results() -> None:
    """A reader who copies a figure has read the warning."""
    busy = figures("hookline")
    busy = replace(busy, cost=replace(busy.cost, others=0.4))
    for results, warning in (
        (Results(closed=[busy]), "Other processes took up to 40% of the machine"),
        (Results(left_out="durable_streams is left out: no cargo"), "durable_streams is left out"),
    ):
        page = markdown(results, MACHINE, rounds=3, seconds=1)
        assert f"**{warning}" in page.partition("###")[0]
    assert "**" not in markdown(Results(closed=[figures("hookline")]), MACHINE, rounds=3, seconds=1)


def test_an_ok_of_ours_that_is_not_in_kafka_is_missing() -> None:
    """A missing OK of a peer is shown and fails nothing: fire and forget may lose some."""
    lost = {"ok_per_s": 1000.0, "cpu_us": 100.0, "different": 99}
    assert Results(closed=[figures("hookline", **lost)]).missing == 1  # type: ignore[arg-type]
    assert Results(closed=[figures("fastapi_awaiting", **lost)]).missing == 0  # type: ignore[arg-type]
