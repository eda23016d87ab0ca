"""Format the results of the ingress benchmark as Markdown, one table for each question."""

from collections.abc import Iterator

from bench.goals import median
from bench.ingress.faults import KAFKA_DOWN_S, RATE, UNTIL_SERVER_KILLED_S
from bench.ingress.goals import Results, goals
from bench.ingress.measure import Figures
from bench.ingress.servers import COMPARED_AT, SERVERS
from bench.machine import Machine
from bench.markdown import (
    counted,
    goal_table,
    introduction,
    others_warning,
    question,
    spread,
    table,
)

UNEXPECTED = "without an OK"


def markdown(results: Results, machine: Machine, *, rounds: int, seconds: float) -> str:
    """Return the goals, and then a table for each question that was measured."""
    return "\n".join(
        [
            *introduction(
                machine,
                rounds=rounds,
                a_round=f"each server has one run of {seconds:g} s at each number of connections",
            ),
            *_warnings(results),
            *question(
                "Are the goals reached?",
                f"`hookline` / a peer, at {COMPARED_AT} connections unless a goal says otherwise. "
                "Each ratio compares two runs of one round. The CPU includes forwarding to Kafka.",
            ),
            *goal_table(goals(results)),
            *_closed(results),
            *_half_load(results),
            *_outage(results),
            *_faults(results),
            *_compression(results),
        ]
    )


def _warnings(results: Results) -> Iterator[str]:
    if results.left_out:
        yield from (f"**{results.left_out}.**", "")
    yield from others_warning(
        max((run.cost.others for run in results.closed), default=0),
        "only the ratios may be quoted, and not those of OK/s or latency",
    )


def line(run: Figures) -> str:
    """Return one run as one line of progress."""
    report, cost = run.report, run.cost
    return (
        f"{run.server}, {run.connections} connections: {cost.server_us:.0f} us, "
        f"{report.ok_per_s:,.0f} OK/s, p50 {report.p50_ms:.1f} ms, p99 {report.p99_ms:.1f} ms, "
        f"{run.rss_mib:.0f} MiB, {report.ok} OK, in Kafka {_in_kafka(run)}; "
        f"load {cost.load_us:.0f} us, Kafka {cost.kafka_us:.0f} us, others took {cost.others:.0%}"
    )


def _closed(results: Results) -> Iterator[str]:
    if results.closed:
        yield from question(
            "What does a callback cost, and how many does one process answer?",
            "Each connection sends its next request when the answer arrives.",
        )
    # The table of the comparisons comes first, and this ingress is its first row.
    for connections in sorted(
        {run.connections for run in results.closed}, key=lambda each: (each != COMPARED_AT, each)
    ):
        yield f"{connections} connection{'s' if connections > 1 else ''}:"
        yield ""
        yield from table(
            [
                *("server", "CPU µs", "OK/s", "p50 ms", "p99 ms", "RSS MiB"),
                *("OK", "in Kafka", "generator µs", "Kafka µs", "others %"),
            ],
            [
                [f"`{server.name}`", *_cells(runs)]
                for server in sorted(SERVERS, key=lambda server: server.name != "hookline")
                if (runs := results.of(server.name, connections))
            ],
        )


def _cells(runs: list[Figures]) -> list[str]:
    return [
        spread(runs, lambda run: run.cost.server_us, ".0f"),
        spread(runs, lambda run: run.report.ok_per_s, ",.0f"),
        spread(runs, lambda run: run.report.p50_ms, ".1f"),
        spread(runs, lambda run: run.report.p99_ms, ".1f"),
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
    return counted(
        expected=sum(run.report.ok for run in runs),
        records=sum(run.records or 0 for run in runs),
        different=sum(run.different or 0 for run in runs),
        unexpected=UNEXPECTED,
    )


def _half_load(results: Results) -> Iterator[str]:
    if not results.half_load:
        return
    rows = [
        [
            state,
            *(
                spread(runs, figure, ".1f")
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
    yield from question(
        "How long does an answer take, with Kafka and without?",
        f"`hookline` at {rate:,.0f} requests/s, half of its maximum. Latency counts from the "
        "moment when each request was due.",
    )
    yield from table(
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
    yield from question(
        "How fast does it catch up after an outage of Kafka?",
        f"`hookline` is started while Kafka is down; {outage.rate:,.0f} requests/s throughout.",
    )
    yield from table(
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
                counted(
                    expected=outage.report.ok,
                    records=outage.records,
                    different=outage.different,
                    unexpected=UNEXPECTED,
                ),
            ]
        ],
    )


def _faults(results: Results) -> Iterator[str]:
    if results.faults:
        yield from question(
            "Which callbacks that were answered OK are lost when Kafka and the server are killed?",
            f"{RATE:g} callbacks/s; `kill -9` of Kafka for {KAFKA_DOWN_S:g} s, of the server "
            f"{UNTIL_SERVER_KILLED_S:g} s after that, and later of the server again with Kafka up.",
        )
        yield from table(
            ["server", "sent", "answered OK", "answered OK and lost", "twice in Kafka"],
            [
                [f"`{run.server}`", *(f"{n:,}" for n in (run.sent, run.ok, run.lost, run.repeated))]
                for run in results.faults
            ],
        )


def _compression(results: Results) -> Iterator[str]:
    if results.compression:
        yield from question(
            "What does compression cost?", "Each record in the forwarder's batches, by codec."
        )
        yield from table(
            ["codec", "CPU µs", "bytes"],
            [
                [each.codec, f"{each.cpu_us:.1f}", f"{each.bytes:.0f}"]
                for each in results.compression
            ],
        )
