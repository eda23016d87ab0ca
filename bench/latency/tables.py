"""Format the results of the latency benchmark as Markdown."""

from collections.abc import Iterator, Sequence

from bench.goals import median
from bench.ingress.load import Report
from bench.latency.goals import GOALS_RATE, Results, goals
from bench.latency.observer import PLACES
from bench.latency.run import Run
from bench.latency.steps import Quantiles
from bench.machine import Machine
from bench.markdown import goal_table, introduction, others_warning, question, spread, table


def markdown(results: Results, machine: Machine, *, rounds: int, seconds: float) -> str:
    """Return the goals, and then a table for each question."""
    return "\n".join(
        [
            *introduction(
                machine, rounds=rounds, a_round=f"each rate has one run of {seconds:g} s"
            ),
            *_warnings(results),
            *question(
                "Are the goals reached?",
                f"At {GOALS_RATE:,} callbacks a second; the median of the rounds decides.",
            ),
            *goal_table(goals(results)),
            *question("How long after its receipt is a callback readable?", _error(results.runs)),
            *table(
                ["callbacks/s", "readable in", "p50 ms", "p99 ms", "max ms"],
                [row for rate in results.rates for row in _latencies(results.of(rate), rate)],
            ),
            *question(
                "What does a callback cost at this rate?",
                "CPU µs of each part for each callback, until it is in every place.",
            ),
            *table(
                ["callbacks/s", *results.runs[0].cpu_s, "sum", "others %"],
                [_cpu(results.of(rate), rate) for rate in results.rates],
            ),
        ]
    )


def line(run: Run) -> str:
    """Return one run as one line of progress."""
    places = ", ".join(
        f"{place} {latency.p50_ms:.0f} / {latency.p99_ms:.0f} / {latency.max_ms:.0f}"
        for place, latency in run.latencies.items()
    )
    cpu = ", ".join(f"{part} {used_us:.0f}" for part, used_us in run.cpu_us.items())
    return (
        f"{run.rate:,}/s: {run.report.ok_per_s:,.0f} OK/s, answer p99 {run.report.p99_ms:.0f} ms; "
        f"p50 / p99 / max ms: {places}; CPU us: {cpu}; "
        f"not looked for {run.blind_p99_ms:.0f} ms (p99), {run.blind_ms:.0f} ms (max); "
        f"others took {run.others:.0%}{''.join(f'; NOT CARRIED: {x}' for x in run.not_carried)}"
    )


def _warnings(results: Results) -> Iterator[str]:
    runs = results.runs
    for run in runs:
        if run.not_carried:
            yield (
                f"**Round {run.round + 1}: this machine did not carry {run.rate:,}/s: "
                f"{', '.join(run.not_carried)}.**"
            )
            yield ""
    others = max((run.others for run in runs), default=0)
    yield from others_warning(others, "these results may not be quoted")


def _error(runs: Sequence[Run]) -> str:
    carried = [run for run in runs if not run.not_carried] or runs
    p99_ms, longest_ms = (
        max(run.blind_p99_ms for run in carried),
        max(run.blind_ms for run in carried),
    )
    return (
        "From receipt (`ce_time`). PostgreSQL and the counts are seen too late by the time between "
        f"two polls: at most {p99_ms:.0f} ms for 99 % of the polls, {longest_ms:.0f} ms for all, "
        "at the rates that were carried."
    )


def _latencies(runs: Sequence[Run], rate: int) -> Iterator[list[str]]:
    carried = "" if all(not run.not_carried for run in runs) else " (not carried)"
    places: list[tuple[str, Sequence[Report | Quantiles]]] = [
        ("the sender: OK", [run.report for run in runs]),
        *((place, [run.latencies[place] for run in runs]) for place in PLACES),
    ]
    for name, measured in places:
        yield [
            f"{rate:,}{carried}",
            name,
            spread(measured, lambda each: each.p50_ms, ".0f"),
            spread(measured, lambda each: each.p99_ms, ".0f"),
            spread(measured, lambda each: each.max_ms, ".0f"),
        ]


def _cpu(runs: Sequence[Run], rate: int) -> list[str]:
    parts = runs[0].cpu_s
    return [
        f"{rate:,}",
        *(f"{median(runs, lambda run, part=part: run.cpu_us[part]):.0f}" for part in parts),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        spread(runs, lambda run: sum(run.cpu_us.values()), ".0f"),
        f"{max(run.others for run in runs) * 100:.0f}",
    ]
