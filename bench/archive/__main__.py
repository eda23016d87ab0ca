"""`python -m bench.archive`: measure this archive and what one would write without it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import click

from bench.archive.goals import Results, goals
from bench.archive.readers import BY_NAME
from bench.archive.reading import measure
from bench.archive.tables import line, markdown
from bench.command import PAGE, broker, directory_option, numbers, only_option, say, write_option
from bench.machine import this_machine
from bench.markdown import verdicts, write
from bench.preload import preload
from bench.readers import Task
from ops.demo.embedded.kafka import EmbeddedKafka

SCENARIOS = ("sizes",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The command's options. All readers are compared at `records`, this archive at all sizes."""

    only: tuple[str, ...]
    records: int
    rounds: int
    sizes: tuple[int, ...]

    def readers(self, records: int) -> list[str]:
        """Return the readers of a topic of that size."""
        compared = [name for name in self.only if name in BY_NAME]
        return compared if records == self.records else ["hookline"]


@dataclass(slots=True, kw_only=True)
class Bench:
    """The broker with one topic that grows, and a directory for all other files."""

    plan: Plan
    directory: Path
    kafka: EmbeddedKafka
    records: int = 0
    value_bytes: int = 0

    def run(self) -> Results:
        """Run all measurements of the plan."""
        plan = self.plan
        results = Results(records=plan.records)
        sizes = plan.sizes if "sizes" in plan.only else ()
        for records in sorted({plan.records, *sizes}):
            self._grow(records)
            # The largest topics take long, and long runs are steady.
            rounds = plan.rounds if records <= plan.records else 1
            for number in range(rounds):
                for name in plan.readers(records):
                    say(f"{records:,} records, round {number + 1} of {rounds}: {name}")
                    self._measure(results, name, number)
        return results

    def _grow(self, records: int) -> None:
        say(f"filling the topic up to {records:,} records")
        self.value_bytes += preload(
            self.kafka.address, records - self.records, self.directory, say=say
        )
        self.records = records

    def _measure(self, results: Results, name: str, number: int) -> None:
        task = Task(
            kafka=self.kafka.address,
            records=self.records,
            value_bytes=self.value_bytes,
            directory=self.directory / f"{name}-{self.records}-{number}",
        )
        run = measure(BY_NAME[name], task, self.kafka)
        say(line(run))
        results.runs.append(run)
        shutil.rmtree(task.directory)


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@only_option(*BY_NAME, *SCENARIOS)
@click.option(
    "--records", default=1_000_000, help="Records in the topic on which all readers are compared."
)
@click.option("--rounds", default=3, help="Each round measures each reader once.")
@click.option(
    "--sizes",
    default="10000,1000000,5000000",
    callback=numbers,
    help="Sizes of topics for this archive alone, separated by commas.",
)
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure this archive and its peers on one real topic, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 12 minutes.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    with broker(directory) as (where, kafka):
        results = Bench(plan=plan, directory=where, kafka=kafka).run()
        tables = markdown(results, this_machine(where), rounds=plan.rounds)
    click.echo(tables)
    click.echo(verdicts(goals(results)))
    if writes:
        write(PAGE, "archive", tables)
    if results.wrong:
        raise click.ClickException(f"{results.wrong} records are not archived exactly once")


if __name__ == "__main__":
    main()
