"""`python -m bench.sync`: measure sync and the webhook, and what one would write without them."""

import logging
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.command import PAGE, broker, directory_option, numbers, only_option, say, write_option
from bench.goals import in_turn
from bench.machine import this_machine
from bench.markdown import write
from bench.preload import preload
from bench.readers import Task
from bench.sync import version_1
from bench.sync.databases import databases
from bench.sync.goals import Results
from bench.sync.measure import Servers, measure
from bench.sync.tables import deliveries_line, line, markdown, waits_line
from bench.sync.webhook import deliveries, waits
from bench.sync.webhook.senders import BY_NAME as SENDERS
from bench.sync.writers import BY_NAME as WRITERS
from ops.demo.embedded.child import ProgramMissing
from ops.demo.embedded.kafka import EmbeddedKafka

FAILING = "failing"
# People in the topics: half as many conversations of two.
PEOPLE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The command's options."""

    only: tuple[str, ...]
    rounds: int
    records: int
    deliveries: int
    in_flight: tuple[int, ...]
    rate: int
    seconds: float

    @property
    def writers(self) -> list[str]:
        """The writers to measure."""
        return [name for name in self.only if name in WRITERS]

    @property
    def senders(self) -> list[tuple[str, int]]:
        """Each sender with each number of requests in flight; those that are compared in turn."""
        senders = [name for name in self.only if name in SENDERS]
        return [(name, in_flight) for in_flight in self.in_flight for name in senders]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The plan, a directory for all files, and the results."""

    plan: Plan
    directory: Path
    results: Results = field(default_factory=Results)

    def write(self, kafka: EmbeddedKafka) -> None:
        """Measure each writer once in each round."""
        plan = self.plan
        names, programs = plan.writers, self.directory / "programs"
        if "version_1" in names:
            try:
                version_1.check_out(programs)
            except ProgramMissing as missing:
                self.results.left_out = str(missing)
                say(str(missing))
                names.remove("version_1")
        preload(kafka.address, plan.records, self.directory, users=PEOPLE, say=say)
        with databases(self.directory) as made:
            servers = Servers(kafka=kafka, databases=made, version_1=programs)
            for number in range(plan.rounds):
                for name in in_turn(names, number):
                    say(f"round {number + 1} of {plan.rounds}: {name}")
                    task = self._task(kafka, plan.records, f"{name}-{number}")
                    run = measure(WRITERS[name], task, servers, number=number)
                    say(line(run))
                    self.results.written.append(run)
                    shutil.rmtree(task.directory)

    def deliver(self, kafka: EmbeddedKafka) -> None:
        """Measure each sender with each number of requests in flight once in each round."""
        plan = self.plan
        preload(kafka.address, plan.deliveries, self.directory, users=PEOPLE, say=say)
        for number in range(plan.rounds):
            for name, in_flight in in_turn(plan.senders, number):
                say(f"round {number + 1} of {plan.rounds}: {name}, {in_flight} in flight")
                task = self._task(kafka, plan.deliveries, f"{name}-{in_flight}-{number}")
                run = deliveries.measure(
                    SENDERS[name], task, kafka, in_flight=in_flight, number=number
                )
                say(deliveries_line(run))
                self.results.delivered.append(run)
                shutil.rmtree(task.directory)

    def fail(self, kafka: EmbeddedKafka) -> None:
        """Measure the waits without and with a failing conversation once in each round."""
        plan = self.plan
        for number in range(plan.rounds):
            for fails in in_turn((False, True), number):
                say(f"round {number + 1} of {plan.rounds}: {int(fails)} conversations fail")
                run = waits.measure(
                    self._task(kafka, 0, f"waits-{fails}-{number}"),
                    kafka,
                    rate=plan.rate,
                    seconds=plan.seconds,
                    fails=fails,
                    number=number,
                )
                say(waits_line(run))
                self.results.waits.append(run)

    def _task(self, kafka: EmbeddedKafka, records: int, name: str) -> Task:
        return Task(kafka=kafka.address, records=records, directory=self.directory / name)


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@only_option(*WRITERS, *SENDERS, FAILING)
@click.option("--rounds", default=3, help="Each round measures everything once.")
@click.option("--records", default=100_000, help="Records in the topic that is written.")
@click.option("--deliveries", default=8_000, help="Records in the topic that is delivered.")
@click.option(
    "--in-flight",
    default="1,16,64",
    callback=numbers,
    help="Requests in flight, separated by commas.",
)
@click.option("--rate", default=500, help="Callbacks/s while a conversation fails.")
@click.option("--seconds", default=20.0, help="For so long, in each run; 600 is a thorough one.")
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure sync, the webhook and their peers on real servers, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 8 minutes.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    logging.getLogger("aiokafka").setLevel("CRITICAL")
    results = Results()
    # A broker for each part, because their topics have the same name.
    for part, is_asked in (
        (Bench.write, plan.writers),
        (Bench.deliver, plan.senders),
        (Bench.fail, FAILING in plan.only),
    ):
        if is_asked:
            with broker(directory) as (where, kafka):
                part(Bench(plan=plan, directory=where, results=results), kafka)
    machine = this_machine(directory or Path(tempfile.gettempdir()))
    tables = markdown(results, machine, rounds=plan.rounds, rate=plan.rate, seconds=plan.seconds)
    click.echo(tables)
    if writes:
        write(PAGE, "sync", tables)
    if results.wrong:
        raise click.ClickException(
            f"{results.wrong} callbacks are not written exactly once, or not delivered"
        )


if __name__ == "__main__":
    main()
