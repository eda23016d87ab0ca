"""Format the results of the archive benchmark as Markdown, one table for each question."""

from collections.abc import Iterator

from bench.archive.goals import Results, further_us
from bench.archive.readers import READERS
from bench.archive.reading import Run
from bench.machine import Machine
from bench.markdown import counted, introduction, question, reading_cells, spread, table


def markdown(results: Results, machine: Machine, *, rounds: int) -> str:
    """Return a table for each question that was measured."""
    return "\n".join(
        [
            *introduction(machine, rounds=rounds, a_round="each reader has one run"),
            *_readers(results),
            *_sizes(results),
        ]
    )


def line(run: Run) -> str:
    """Return one run as one line of progress."""
    return (
        f"{run.reader}, {run.records:,} records: {run.per_s:,.0f}/s, {run.cpu_us:.1f} us, "
        f"{run.rss_mib:.0f} MiB, archived {_archived(run)}; "
        f"Kafka {run.kafka_us:.1f} us, others took {run.others:.0%}"
    )


def _readers(results: Results) -> Iterator[str]:
    yield from question(
        "How fast are records archived, and at what cost?",
        f"A topic of {results.records:,} records.",
    )
    yield from table(
        ["reader", "records/s", "CPU µs", "RSS MiB", "archived", "Kafka µs", "others %"],
        [
            [f"`{reader.name}`", *_cells(runs)]
            for reader in READERS
            if (runs := results.of(reader.name))
        ],
    )


def _cells(runs: list[Run]) -> list[str]:
    return [
        spread(runs, lambda run: run.per_s, ",.0f"),
        spread(runs, lambda run: run.cpu_us, ".1f"),
        *reading_cells(runs, _archived(*runs)),
    ]


def _archived(*runs: Run) -> str:
    if any(run.lines is None for run in runs):
        return "none"
    return counted(
        expected=sum(run.records for run in runs),
        records=sum(run.lines or 0 for run in runs),
        different=sum(run.different or 0 for run in runs),
        unexpected="**unknown**",
    )


def _sizes(results: Results) -> Iterator[str]:
    if len(results.sizes) < 2:
        return
    further = further_us(results)
    rows = [
        [
            f"{size:,}",
            f"{len(runs)}",
            spread(runs, lambda run: run.cpu_s, ".2f"),
            spread(runs, lambda run: run.cpu_us, ".1f"),
            f"{further[size]:.1f}" if size in further else "",
            f"{max(run.rss_mib for run in runs):.0f}",
            _archived(*runs),
        ]
        for size in results.sizes
        for runs in [results.of("hookline", size)]
    ]
    yield from question(
        "Does the cost of a record grow with the backlog?", "`hookline` on topics of several sizes."
    )
    yield from table(
        ["records", "runs", "CPU s", "CPU µs", "a further one's µs", "RSS MiB", "archived"], rows
    )
