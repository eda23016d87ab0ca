"""Format how throughput grows with processes and members, and on which cores they ran."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Protocol, TypeVar

from bench.machine import Machine
from bench.markdown import counted, introduction, others_warning, question, spread, table
from bench.scale.archive import ArchiveRun
from bench.scale.cores import Cores
from bench.scale.ingress import CONNECTIONS, IngressRun


class SizedRun(Protocol):
    """One run of `size` processes or members, in a round in which each size has one."""

    @property
    def size(self) -> int:
        """The number of processes or members."""

    @property
    def round(self) -> int:
        """The number of the round."""

    @property
    def cores(self) -> Cores:
        """The cores that they had."""

    @property
    def per_s(self) -> float:
        """What all of them did in a second."""

    @property
    def cpu_us(self) -> float:
        """Their CPU for each callback or record."""

    @property
    def others(self) -> float:
        """The share of the machine that other processes took."""


Run = TypeVar("Run", bound=SizedRun)


def markdown(
    ingress: Sequence[IngressRun], archive: Sequence[ArchiveRun], machine: Machine, *, rounds: int
) -> str:
    """Return a table of each part that was measured, after a warning if cores were shared."""
    runs: list[SizedRun] = [*ingress, *archive]
    return "\n".join(
        [
            *introduction(machine, rounds=rounds, a_round="each number has one run"),
            *others_warning(max(run.others for run in runs), "do not quote these results"),
            *shared_warning(runs, machine),
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


def shared_warning(runs: Sequence[SizedRun], machine: Machine) -> Iterator[str]:
    """Yield a warning and an empty line if the machine has too few cores for some runs."""
    needed = sorted({run.cores.needed for run in runs if not run.cores.own})
    if needed:
        yield (
            f"**This machine has {machine.cores} cores; rows marked “shared” need {needed[0]}"
            f"{f' to {needed[-1]}' if len(needed) > 1 else ''}. In those rows all processes "
            "compete for the same cores, so they do not show how Hookline scales.**"
        )
        yield ""


def scaling_table(
    runs: Sequence[Run],
    heads: Sequence[str],
    between: Callable[[Sequence[Run]], Sequence[str]],
    *,
    form: str,
) -> Iterator[str]:
    """
    Yield a table with a row for each size.

    `heads` are those of the sizes, of their throughput, and of the cells that `between` returns for
    the runs of one size; CPU is shown in the format `form`.
    """
    sizes, throughput, *others = heads
    yield from table(
        [sizes, throughput, "times the first", "CPU µs", *others, "cores", "others %"],
        [
            [
                f"{size}",
                spread(of, lambda run: run.per_s, ",.0f"),
                f"{median(times):.1f}" if times else "",
                spread(of, lambda run: run.cpu_us, form),
                *between(of),
                _cores(of[0].cores),
                f"{max(run.others for run in of) * 100:.0f}",
            ]
            for size in sorted({run.size for run in runs})
            for of in [[run for run in runs if run.size == size]]
            for times in [times_first(runs, size)]
        ],
    )


def times_first(runs: Sequence[SizedRun], size: int) -> list[float]:
    """Return, for each round, the throughput of `size` / that of the first size in that round."""
    smallest = min(run.size for run in runs)
    first = {run.round: run.per_s for run in runs if run.size == smallest}
    return [
        run.per_s / first[run.round] for run in runs if run.size == size and first.get(run.round)
    ]


def _ingress(runs: Sequence[IngressRun]) -> Iterator[str]:
    if not runs:
        return
    yield from question(
        "How many OKs a second do N ingress processes answer?",
        "All processes are in one spool directory, each on a port of its own, with "
        f"{CONNECTIONS} connections to each.",
    )
    yield from scaling_table(
        runs, ["processes", "OK/s", "p99 ms", "OK", "not OK", "in Kafka"], _answered, form=".0f"
    )


def _answered(of: Sequence[IngressRun]) -> list[str]:
    return [
        spread(of, lambda run: run.p99_ms, ".1f"),
        f"{sum(run.ok for run in of):,}",
        f"{sum(run.failed for run in of):,}",
        counted(
            expected=sum(run.stored for run in of),
            records=sum(run.records for run in of),
            different=sum(run.different for run in of),
            unexpected="**unknown**",
        ),
    ]


def _archive(runs: Sequence[ArchiveRun]) -> Iterator[str]:
    if not runs:
        return
    yield from question(
        "How many records a second do M members of the archive's group archive?",
        f"A topic of {runs[0].expected:,} records in six partitions. The time includes joining the "
        "group and up to a second for the last segments.",
    )
    yield from scaling_table(runs, ["members", "records/s", "archived"], _archived, form=".1f")


def _archived(of: Sequence[ArchiveRun]) -> list[str]:
    return [
        counted(
            expected=sum(run.expected for run in of),
            records=sum(run.lines for run in of),
            different=sum(run.different for run in of),
            unexpected="**unknown**",
        )
    ]


def _cores(cores: Cores) -> str:
    if not cores.own:
        return "shared"
    load = f" + {len(cores.generators)} load" if cores.generators else ""
    valkey = f" + {len(cores.valkey)} Valkey" if cores.valkey else ""
    return f"{len(cores.servers)}{load} + {len(cores.kafka)} Kafka{valkey}"
