"""Format how throughput grows with processes and members, and on which cores they ran."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench.machine import Machine
from bench.markdown import counted, others_warning, question, spread, table
from bench.scale.archive import ArchiveRun
from bench.scale.cores import Cores
from bench.scale.ingress import CONNECTIONS, IngressRun

Runs = Sequence[IngressRun] | Sequence[ArchiveRun]


def markdown(
    ingress: Sequence[IngressRun], archive: Sequence[ArchiveRun], machine: Machine, *, rounds: int
) -> str:
    """Return a table of each part that was measured, after a warning if cores were shared."""
    return "\n".join(
        [
            f"{machine}.",
            (
                f"Medians of {rounds} rounds; minimum and maximum in parentheses."
                if rounds > 1
                else "One run each."
            ),
            "",
            *others_warning(
                max([run.others for run in ingress] + [run.others for run in archive]),
                "do not quote these results",
            ),
            *_shared([*ingress, *archive], machine),
            *_ingress(ingress),
            *_archive(archive),
        ]
    )


def line(run: IngressRun | ArchiveRun) -> str:
    """Return one run as one line of progress."""
    what = (
        "ingress processes, OK/s" if isinstance(run, IngressRun) else "archive members, records/s"
    )
    return (
        f"{run.size} {what}: {run.per_s:,.0f}; {run.cpu_us:.0f} us of CPU each, others took "
        f"{run.others:.0%}; {_cores(run.cores)}"
    )


def _shared(runs: Sequence[IngressRun | ArchiveRun], machine: Machine) -> Iterator[str]:
    needed = sorted({run.cores.needed for run in runs if not run.cores.own})
    if needed:
        yield (
            f"**This machine has {machine.cores} cores; rows marked “shared” need {needed[0]}"
            f"{f' to {needed[-1]}' if len(needed) > 1 else ''}. In those rows servers, load "
            "generators and Kafka compete for the same cores, so they do not show how Hookline "
            "scales.**"
        )
        yield ""


def _ingress(runs: Sequence[IngressRun]) -> Iterator[str]:
    if not runs:
        return
    yield from question(
        "How many OKs a second do N ingress processes answer?",
        "All processes are in one spool directory, each on a port of its own, with "
        f"{CONNECTIONS} connections to each.",
    )
    yield from table(
        [
            *("processes", "OK/s", "times the first", "CPU µs", "p99 ms", "OK", "not OK"),
            *("in Kafka", "cores", "others %"),
        ],
        [
            [
                *_cells(runs, size),
                spread(of, lambda run: run.p99_ms, ".1f"),
                f"{sum(run.ok for run in of):,}",
                f"{sum(run.failed for run in of):,}",
                counted(
                    expected=sum(run.stored for run in of),
                    records=sum(run.records for run in of),
                    different=sum(run.different for run in of),
                    unexpected="**unknown**",
                ),
                *_circumstances(of),
            ]
            for size in _sizes(runs)
            for of in [[run for run in runs if run.size == size]]
        ],
    )


def _archive(runs: Sequence[ArchiveRun]) -> Iterator[str]:
    if not runs:
        return
    yield from question(
        "How many records a second do M members of the archive's group archive?",
        f"A topic of {runs[0].expected:,} records in six partitions. The time includes joining the "
        "group and up to a second for the last segments.",
    )
    yield from table(
        ["members", "records/s", "times the first", "CPU µs", "archived", "cores", "others %"],
        [
            [
                *_cells(runs, size),
                counted(
                    expected=sum(run.expected for run in of),
                    records=sum(run.lines for run in of),
                    different=sum(run.different for run in of),
                    unexpected="**unknown**",
                ),
                *_circumstances(of),
            ]
            for size in _sizes(runs)
            for of in [[run for run in runs if run.size == size]]
        ],
    )


def times_first(runs: Runs, size: int) -> list[float]:
    """Return, for each round, the throughput of `size` / that of the first size in that round."""
    first = {run.round: run.per_s for run in runs if run.size == _sizes(runs)[0]}
    return [run.per_s / first[run.round] for run in runs if run.size == size and first[run.round]]


def _cells(runs: Runs, size: int) -> list[str]:
    of = [run for run in runs if run.size == size]
    times = times_first(runs, size)
    return [
        f"{size}",
        spread(of, lambda run: run.per_s, ",.0f"),
        f"{median(times):.1f}" if times else "",
        spread(of, lambda run: run.cpu_us, ".0f" if isinstance(of[0], IngressRun) else ".1f"),
    ]


def _circumstances(runs: Runs) -> list[str]:
    return [_cores(runs[0].cores), f"{max(run.others for run in runs) * 100:.0f}"]


def _cores(cores: Cores) -> str:
    if not cores.own:
        return "shared"
    load = f" + {len(cores.generators)} load" if cores.generators else ""
    return f"{len(cores.servers)}{load} + {len(cores.kafka)} Kafka"


def _sizes(runs: Runs) -> list[int]:
    return sorted({run.size for run in runs})
