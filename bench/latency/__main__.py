"""`python -m bench.latency`: measure the time from receipt to Kafka, PostgreSQL and the counts."""

from dataclasses import dataclass
from pathlib import Path

import click

from bench.command import PAGE, broker, directory_option, numbers, say, write_option
from bench.latency.exactly_once import arrived
from bench.latency.goals import Results
from bench.latency.run import measure
from bench.latency.system import System, running_system
from bench.latency.tables import line, markdown
from bench.machine import this_machine
from bench.markdown import write

# New processes connect, compile and fill their caches.
WARM_UP_RATE = 1000
WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The command's options."""

    rates: tuple[int, ...]
    rounds: int
    seconds: float


def run(plan: Plan, system: System) -> Results:
    """Run all measurements of the plan on one system, and check what arrived."""
    say("warming up")
    warm = measure(system, rate=WARM_UP_RATE, seconds=WARM_UP_S, number=0)
    results = Results()
    for number in range(plan.rounds):
        for rate in plan.rates:
            say(f"round {number + 1} of {plan.rounds}: {rate:,} callbacks/s")
            measured = measure(system, rate=rate, seconds=plan.seconds, number=number)
            say(line(measured))
            results.runs.append(measured)
    everything = [warm, *results.runs]
    arrivals = arrived(system, [record for each in everything for record in each.records])
    results.faults = list(arrivals.faults(sum(each.report.ok for each in everything)))
    return results


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option(
    "--rates", default="10,1000,5000", callback=numbers, help="Callbacks/s, separated by commas."
)
@click.option("--rounds", default=3, help="Each round measures each rate once.")
@click.option("--seconds", "seconds", default=12.0, help="Length of one measured run.")
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure the time from receipt to Kafka, PostgreSQL and the counts, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 3 minutes.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    with broker(directory) as (where, kafka), running_system(where, kafka) as system:
        results = run(plan, system)
        tables = markdown(results, this_machine(where), rounds=plan.rounds, seconds=plan.seconds)
    click.echo(tables)
    if results.faults:
        raise click.ClickException("; ".join(results.faults))
    if writes:
        write(PAGE, "latency", tables)


if __name__ == "__main__":
    main()
