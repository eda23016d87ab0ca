"""Format the results of sync and of the webhook as Markdown, one table for each question."""

from collections.abc import Iterator, Sequence

from bench.goals import median
from bench.machine import Machine
from bench.markdown import (
    counted,
    goal_table,
    introduction,
    others_warning,
    question,
    reading_cells,
    spread,
    table,
)
from bench.sync.goals import Results, goals
from bench.sync.measure import Run
from bench.sync.webhook.callbacks import CONVERSATIONS
from bench.sync.webhook.deliveries import Deliveries
from bench.sync.webhook.senders import SENDERS
from bench.sync.webhook.waits import Waits
from bench.sync.writers import WRITERS


def markdown(results: Results, machine: Machine, *, rounds: int, rate: int, seconds: float) -> str:
    """Return the goals, and then a table for each question that was measured."""
    readings = [*results.written, *results.delivered]
    shares = [run.others for run in readings] + [run.others for run in results.waits]
    return "\n".join(
        [
            *introduction(machine, rounds=rounds, a_round="everything is measured once, in turn"),
            *([f"**{results.left_out}.**", ""] if results.left_out else []),
            *others_warning(max(shares, default=0), "only the ratios may be quoted"),
            *question(
                "Are the goals reached?",
                "`hookline` and `webhook` / a peer. Each ratio compares two runs of one round.",
            ),
            *goal_table(goals(results)),
            *_writers(results),
            *_senders(results),
            *_waits(results, rate, seconds),
        ]
    )


def line(run: Run) -> str:
    """Return one run of a writer as one line of progress."""
    return (
        f"{run.writer}: {run.per_s:,.0f} rows/s, {run.cpu_us:.1f} us, "
        f"PostgreSQL {run.server_us:.1f} us, {run.rss_mib:.0f} MiB, rows {_rows(run)}; "
        f"Kafka {run.kafka_us:.1f} us, others took {run.others:.0%}"
    )


def deliveries_line(run: Deliveries) -> str:
    """Return one run of a sender as one line of progress."""
    return (
        f"{run.sender}, {run.in_flight} in flight: {run.per_s:,.0f}/s, {run.cpu_us:.0f} us, "
        f"receiver {run.receiver_us:.0f} us, {run.rss_mib:.0f} MiB, missing {run.missing}, "
        f"repeated {run.repeated}; others took {run.others:.0%}"
    )


def waits_line(run: Waits) -> str:
    """Return one run at a steady rate as one line of progress."""
    return (
        f"{run.failing} failing: p50 {run.report.p50_ms:.0f} ms, p99 {run.report.p99_ms:.0f} ms, "
        f"max {run.report.max_ms:.0f} ms of {run.report.others:,}, {run.report.failed} failed, "
        f"missing {run.missing}, {run.cpu_us:.0f} us; others took {run.others:.0%}"
    )


def _writers(results: Results) -> Iterator[str]:
    if not results.written:
        return
    records = max(run.records for run in results.written)
    yield from question(
        "What does it cost to write a row to PostgreSQL?",
        f"One process each, on a topic of {records:,} records; `row_by_row` reads a part of it. "
        "The time includes joining the group. Tables and indexes exist and are empty.",
    )
    yield from table(
        [
            *("writer", "rows/s", "CPU µs", "PostgreSQL µs", "RSS MiB", "rows", "Kafka µs"),
            "others %",
        ],
        [
            [f"`{writer.name}`", *_writer_cells(runs)]
            for writer in WRITERS
            if (runs := results.of(writer.name))
        ],
    )


def _writer_cells(runs: Sequence[Run]) -> list[str]:
    return [
        spread(runs, lambda run: run.per_s, ",.0f"),
        spread(runs, lambda run: run.cpu_us, ".1f"),
        spread(runs, lambda run: run.server_us, ".1f"),
        *reading_cells(runs, _rows(*runs)),
    ]


def _rows(*runs: Run) -> str:
    complete = [run.rows if run.receipts is None else min(run.rows, run.receipts) for run in runs]
    return counted(
        expected=sum(run.records for run in runs),
        records=sum(run.rows for run in runs),
        different=sum(complete),
        unexpected="**surplus**",
    )


def _senders(results: Results) -> Iterator[str]:
    if not results.delivered:
        return
    yield from question(
        "How many callbacks does a webhook deliver, and at what cost?",
        "One process each, on a topic of callbacks that wait, to a receiver that answers 204.",
    )
    yield from table(
        [
            *("in flight", "sender", "deliveries/s", "CPU µs", "RSS MiB", "repeated"),
            *("receiver µs", "others %"),
        ],
        [
            [f"{in_flight}", f"`{sender.name}`", *_sender_cells(runs)]
            for in_flight in results.in_flight
            for sender in SENDERS
            if (runs := results.by(sender.name, in_flight))
        ],
    )


def _sender_cells(runs: Sequence[Deliveries]) -> list[str]:
    missing = sum(run.missing for run in runs)
    return [
        spread(runs, lambda run: run.per_s, ",.0f"),
        spread(runs, lambda run: run.cpu_us, ".0f"),
        f"{max(run.rss_mib for run in runs):.0f}",
        f"{sum(run.repeated for run in runs)}" + (f", **{missing:,} missing**" if missing else ""),
        f"{median(runs, lambda run: run.receiver_us):.0f}",
        f"{max(run.others for run in runs) * 100:.0f}",
    ]


def _waits(results: Results, rate: int, seconds: float) -> Iterator[str]:
    if not results.waits:
        return
    yield from question(
        "Do others wait for a conversation that fails?",
        f"{rate:,} callbacks/s for {seconds:g} s, of {CONVERSATIONS:,} conversations in turn; one "
        "conversation has a callback each second, which the receiver answers with 500 in one of "
        "two runs. The time is that from the receipt of a callback of the others to its delivery.",
    )
    yield from table(
        ["failing", "p50 ms", "p99 ms", "max ms", "delivered", "failed", "CPU µs", "others %"],
        [
            [f"{failing}", *_wait_cells(runs)]
            for failing in (0, 1)
            if (runs := results.with_failing(failing))
        ],
    )


def _wait_cells(runs: Sequence[Waits]) -> list[str]:
    missing = sum(run.missing for run in runs)
    return [
        spread(runs, lambda run: run.report.p50_ms, ".0f"),
        spread(runs, lambda run: run.report.p99_ms, ".0f"),
        spread(runs, lambda run: run.report.max_ms, ".0f"),
        f"{sum(run.report.others for run in runs):,}"
        + (f", **{missing:,} missing**" if missing else ""),
        f"{sum(run.report.failed for run in runs):,}",
        spread(runs, lambda run: run.cpu_us, ".0f"),
        f"{max(run.others for run in runs) * 100:.0f}",
    ]
