"""`python -m bench.scale`: throughput of N ingress processes and of M archive members."""

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.command import PAGE, broker, directory_option, numbers, only_option, say, write_option
from bench.goals import in_turn
from bench.machine import this_machine
from bench.markdown import write
from bench.preload import preload
from bench.scale import archive, ingress
from bench.scale.archive import ArchiveRun
from bench.scale.cores import assign
from bench.scale.ingress import IngressRun
from bench.scale.tables import line, markdown
from bench.topic import Tail
from ops.demo.embedded.kafka import EmbeddedKafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The command's options."""

    only: tuple[str, ...]
    processes: tuple[int, ...]
    members: tuple[int, ...]
    seconds: float
    records: int
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The broker of one part, a directory for all other files, and the results."""

    plan: Plan
    cores: tuple[int, ...]
    ingress: list[IngressRun] = field(default_factory=list)
    archive: list[ArchiveRun] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Callbacks that are not in Kafka, and records that are not archived, exactly once."""
        return sum(run.wrong for run in self.ingress) + sum(run.wrong for run in self.archive)

    def measure_ingress(self, directory: Path, kafka: EmbeddedKafka) -> None:
        """Measure each number of processes in each round."""
        tail = Tail(kafka.address)
        for number in range(self.plan.rounds):
            for size in in_turn(self.plan.processes, number):
                run = ingress.measure(
                    size,
                    number,
                    assign(self.cores, servers=size, has_load=True),
                    seconds=self.plan.seconds,
                    directory=directory / f"ingress-{size}-{number}",
                    kafka=kafka,
                    tail=tail,
                )
                say(f"round {number + 1} of {self.plan.rounds}: {line(run)}")
                self.ingress.append(run)

    def measure_archive(self, directory: Path, kafka: EmbeddedKafka) -> None:
        """Fill the topic, then measure each number of members in each round."""
        preload(kafka.address, self.plan.records, directory, say=say)
        for number in range(self.plan.rounds):
            for size in in_turn(self.plan.members, number):
                files = directory / f"archive-{size}-{number}"
                run = archive.measure(
                    size,
                    number,
                    assign(self.cores, servers=size, has_load=False),
                    expected=self.plan.records,
                    directory=files,
                    kafka=kafka,
                )
                say(f"round {number + 1} of {self.plan.rounds}: {line(run)}")
                self.archive.append(run)
                shutil.rmtree(files)


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@only_option("ingress", "archive")
@click.option("--processes", default="1,2,4,8", callback=numbers, help="Of the ingress.")
@click.option("--members", default="1,2,3,6", callback=numbers, help="Of the archive's group.")
@click.option("--seconds", default=5.0, help="Length of one run of the ingress.")
@click.option("--records", default=2_000_000, help="Records in the archive's topic.")
@click.option("--rounds", default=3, help="In each round every number is measured once.")
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure how throughput grows with processes of the ingress and members of the archive.

    Every OK must be in Kafka once and every record archived once, or the command fails. Servers,
    load generators and Kafka get cores of their own where there are enough: 14 for 8 processes.
    Progress goes to stderr.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    logging.getLogger("aiokafka").setLevel("CRITICAL")
    bench = Bench(plan=plan, cores=tuple(sorted(os.sched_getaffinity(0))))
    # A broker for each part: the archive must not read the callbacks of the ingress.
    with broker(directory) as (where, kafka):
        machine = this_machine(where)
        say(f"{machine}")
        if "ingress" in plan.only:
            bench.measure_ingress(where, kafka)
    if "archive" in plan.only:
        with broker(directory) as (where, kafka):
            bench.measure_archive(where, kafka)
    tables = markdown(bench.ingress, bench.archive, machine, rounds=plan.rounds)
    click.echo(tables)
    if writes:
        write(PAGE, "scale", tables)
    if bench.wrong:
        raise click.ClickException(f"{bench.wrong} callbacks or records are not there exactly once")


if __name__ == "__main__":
    main()
