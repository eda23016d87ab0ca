"""`python -m bench.audit`: measure what an audit needs to read the topic, and to report."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.audit.reader import REPORT
from bench.command import PAGE, broker, directory_option, say, write_option
from bench.goals import median
from bench.machine import Machine, this_machine
from bench.markdown import introduction, question, spread, table, write
from bench.preload import preload
from bench.readers import START_S_MAX, Started, Task, logged, peer
from bench.reading import Reading, measure_reading
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka

COUNTING = "counting"
READERS: dict[str, Callable[[Task], Started]] = {
    COUNTING: peer("bench.peers.counting", "default"),
    "audit": peer("bench.audit.reader", "contents"),
    "audit_with_counts": peer("bench.audit.reader", "counts"),
}
# Callbacks of so many people, each with an id of its own.
USERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Reading):
    """One run of a reader. `report_s`: the CPU of the report after it, 0 if there is none."""

    reader: str
    report_s: float


def measure(name: str, task: Task, kafka: EmbeddedKafka) -> Run:
    """
    Start a reader, and measure it until all is read, then its report.

    Raises:
        NotStarted: the reader does not begin, or does not end.
    """
    task.directory.mkdir()
    started = READERS[name](task)
    report = task.directory / REPORT
    try:
        reading, _ = measure_reading(started, task, kafka, started.ended)
        if name != COUNTING:
            started.wait(report.exists, "reports", START_S_MAX)
        return Run(
            reader=name,
            report_s=float(report.read_text()) if name != COUNTING else 0.0,
            **asdict(reading),
        )
    except child.NotStarted as fault:
        raise logged(fault, name, task.directory) from fault
    finally:
        started.stop()
        shutil.rmtree(task.directory)


def markdown(runs: list[Run], machine: Machine, *, rounds: int) -> Iterator[str]:
    """Yield the lines of the results."""
    yield from introduction(machine, rounds=rounds, a_round="each reader has one run")
    yield from question(
        "What does an audit need to read Kafka?",
        f"A topic of {runs[0].records:,} records. `report`: all comparisons after reading.",
    )
    counting_us = median([run for run in runs if run.reader == COUNTING], lambda run: run.cpu_us)
    rows = []
    for name in READERS:
        of_reader = [run for run in runs if run.reader == name]
        rows.append(
            [
                f"`{name}`",
                spread(of_reader, lambda run: run.per_s, ",.0f"),
                spread(of_reader, lambda run: run.cpu_us, ".1f"),
                f"{counting_us / median(of_reader, lambda run: run.cpu_us):.2f}",
                spread(of_reader, lambda run: run.report_s / run.records * 1e6, ".2f"),
                f"{max(run.rss_mib for run in of_reader):.0f}",
            ]
        )
    heads = ("reader", "records/s", "CPU µs", "share of counting", "report µs", "RSS MiB")
    yield from table(heads, rows)


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--records", default=1_000_000, help="Records in the topic.")
@click.option("--rounds", default=3, help="Each round measures each reader once.")
@directory_option
@write_option
def main(*, records: int, rounds: int, directory: Path | None, writes: bool) -> None:
    """
    Measure an audit that reads the topic, beside a reader that counts records, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 5 minutes.
    """
    runs: list[Run] = []
    with broker(directory) as (where, kafka):
        preload(kafka.address, records, where, users=USERS, say=say)
        for number in range(rounds):
            for name in READERS:
                say(f"round {number + 1} of {rounds}: {name}")
                # The name of the directory is that of the group, which must be a new one.
                task = Task(
                    kafka=kafka.address, records=records, directory=where / f"{name}-{number}"
                )
                runs.append(measure(name, task, kafka))
                say(f"{runs[-1].per_s:,.0f}/s, {runs[-1].cpu_us:.1f} us")
        tables = "\n".join(markdown(runs, this_machine(where), rounds=rounds))
    click.echo(tables)
    if writes:
        write(PAGE, "audit", tables)


if __name__ == "__main__":
    main()
