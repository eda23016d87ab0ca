"""The figures as Markdown."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.goals import Results, goals, median
from bench.machine import Machine
from bench.measure import Figures
from bench.servers import SERVERS

_MET = {True: "met", False: "**not met**", None: "not measured"}
_BETWEEN = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- /figures -->)", re.DOTALL)


def markdown(results: Results, machine: Machine, *, rounds: int, seconds: float) -> str:
    """Return every table that there are figures for."""
    return "\n".join(
        [
            f"{machine}.",
            (
                f"Medians of {rounds} runs of {seconds:g} s; least and most in parentheses."
                if rounds > 1
                else f"One run of {seconds:g} s each."
            ),
            "",
            *_closed(results),
            *_half_load(results),
            *_outage(results),
            *_compression(results),
            *_goals(results),
        ]
    )


def write(page: Path, figures: str) -> None:
    """Put the figures between the page's marks, in place of those that were there."""
    page.write_text(_BETWEEN.sub(lambda _: f"\n{figures}\n", page.read_text()))


def line(run: Figures) -> str:
    """Return one run in one line, for people who watch."""
    report, cost = run.report, run.cost
    return (
        f"{run.server}, {run.connections} connections: {report.ok_per_s:,.0f} OK/s, "
        f"{cost.server_us:.0f} us, p50 {report.p50_ms:.1f} ms, p99 {report.p99_ms:.1f} ms, "
        f"{run.rss_mib:.0f} MiB, {report.ok} OK, in Kafka {_in_kafka(run)}; "
        f"load {cost.load_us:.0f} us, Kafka {cost.kafka_us:.0f} us, others took {cost.others:.0%}"
    )


def _table(heads: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' if at == 0 else '---:' for at in range(len(heads)))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _spread(runs: list[Figures], figure: Callable[[Figures], float], form: str) -> str:
    values = [figure(run) for run in runs]
    middle = format(median(runs, figure), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"


def _closed(results: Results) -> Iterator[str]:
    rows = [
        [f"{connections}", f"`{server.name}`", *_cells(runs)]
        for connections in sorted({run.connections for run in results.closed})
        for server in SERVERS
        if (runs := results.of(server.name, connections))
    ]
    if rows:
        yield "As fast as answers come:"
        yield ""
        yield from _table(
            [
                *("connections", "server", "OK/s", "CPU µs", "p50 ms", "p99 ms", "RSS MiB"),
                *("OK", "in Kafka", "generator µs", "Kafka µs", "others %"),
            ],
            rows,
        )


def _cells(runs: list[Figures]) -> list[str]:
    return [
        _spread(runs, lambda run: run.report.ok_per_s, ",.0f"),
        _spread(runs, lambda run: run.cost.server_us, ".0f"),
        _spread(runs, lambda run: run.report.p50_ms, ".1f"),
        _spread(runs, lambda run: run.report.p99_ms, ".1f"),
        f"{max(run.rss_mib for run in runs):.0f}",
        f"{sum(run.report.ok for run in runs):,}",
        _in_kafka(*runs),
        f"{median(runs, lambda run: run.cost.load_us):.0f}",
        f"{median(runs, lambda run: run.cost.kafka_us):.0f}",
        f"{max(run.cost.others for run in runs) * 100:.0f}",
    ]


def _in_kafka(*runs: Figures) -> str:
    if any(run.records is None for run in runs):
        return "none"
    return _counted(
        ok=sum(run.report.ok for run in runs),
        records=sum(run.records or 0 for run in runs),
        different=sum(run.different or 0 for run in runs),
    )


def _counted(*, ok: int, records: int, different: int) -> str:
    faults = [
        *([f"**{ok - different:,} missing**"] if different < ok else []),
        *([f"**{records - different:,} repeats**"] if records > different else []),
        *([f"{different - ok:,} without an OK"] if different > ok else []),
    ]
    return ", ".join([f"{records:,}", *faults])


def _half_load(results: Results) -> Iterator[str]:
    if not results.half_load:
        return
    rows = [
        [
            state,
            *(
                _spread(runs, figure, ".1f")
                for figure in (
                    lambda run: run.report.p50_ms,
                    lambda run: run.report.p99_ms,
                    lambda run: run.report.max_ms,
                )
            ),
            f"{max(run.rss_mib for run in runs):.0f}",
            f"{sum(run.report.ok for run in runs):,}",
            f"{sum(run.report.failed for run in runs):,}",
            _in_kafka(*runs),
        ]
        for state, runs in (
            ("up", [half.up for half in results.half_load]),
            ("down", [half.down for half in results.half_load]),
        )
    ]
    rate = results.half_load[0].rate
    yield f"`hookline` at half load, {rate:,.0f} requests/s, latency from when each was due:"
    yield ""
    yield from _table(
        ["Kafka", "p50 ms", "p99 ms", "largest ms", "RSS MiB", "OK", "not OK", "in Kafka"], rows
    )
    if (peer := results.awaiting_without_kafka) is not None:
        yield (
            f"`aiohttp_awaiting` under the same load with Kafka down: {peer.ok:,} of "
            f"{peer.ok + peer.failed:,} answered OK."
        )
        yield ""


def _outage(results: Results) -> Iterator[str]:
    outage = results.outage
    if outage is None:
        return
    caught_up = "not in time" if outage.caught_up_s is None else f"{outage.caught_up_s:.1f}"
    yield f"`hookline` started with Kafka down, {outage.rate:,.0f} requests/s throughout:"
    yield ""
    yield from _table(
        [
            "Kafka down s",
            "caught up after s",
            "RSS MiB",
            "RSS MiB later",
            "OK",
            "not OK",
            "in Kafka",
        ],
        [
            [
                f"{outage.outage_s:.1f}",
                caught_up,
                f"{outage.rss_mib:.0f}",
                f"{outage.rss_mib_after:.0f}",
                f"{outage.report.ok:,}",
                f"{outage.report.failed:,}",
                _counted(ok=outage.report.ok, records=outage.records, different=outage.different),
            ]
        ],
    )


def _compression(results: Results) -> Iterator[str]:
    if results.compression:
        yield "A record in the forwarder's batches, by codec:"
        yield ""
        yield from _table(
            ["codec", "CPU µs", "bytes"],
            [
                [each.codec, f"{each.cpu_us:.1f}", f"{each.bytes:.0f}"]
                for each in results.compression
            ],
        )


def _goals(results: Results) -> Iterator[str]:
    yield "Goals:"
    yield ""
    yield from _table(
        ["goal", "wanted", "measured", ""],
        [
            [
                goal.what,
                f"{'≤' if goal.at_most else '≥'} {goal.bound:g}{goal.unit}",
                "" if goal.met is None else f"{goal.measured:.2f}{goal.unit}",
                _MET[goal.met],
            ]
            for goal in goals(results)
        ],
    )
