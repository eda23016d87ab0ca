"""`python -m bench.ingress`: measure this ingress and what one would write without it."""

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

import click

from bench.command import PAGE, broker, directory_option, numbers, only_option, say, write_option
from bench.ingress import outage
from bench.ingress.compression import compressions
from bench.ingress.faults import faults
from bench.ingress.goals import CONNECTIONS, Results, goals, median
from bench.ingress.measure import Load, measure
from bench.ingress.servers import BY_NAME, running
from bench.ingress.tables import line, markdown
from bench.machine import this_machine
from bench.markdown import verdicts, write
from bench.topic import Tail
from ops.demo.embedded.kafka import EmbeddedKafka

SCENARIOS = ("faults", "half_load", "outage", "compression")
UNDER_FAULTS = ("hookline", "aiohttp_awaiting", "fastapi_fire_and_forget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The command's options. A rate of 0 is half of what `hookline` answers in this run."""

    only: tuple[str, ...]
    connections: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up_s: float
    outage_s: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The broker of all measurements, and a directory for all other files."""

    plan: Plan
    directory: Path
    kafka: EmbeddedKafka
    tail: Tail

    def run(self) -> Results:
        """Run all measurements of the plan."""
        results = Results()
        for number in range(self.plan.rounds):
            for name in self.plan.only:
                if name in BY_NAME:
                    say(f"round {number + 1} of {self.plan.rounds}: {name}")
                    self._closed(results, name, number)
        answered_per_s = median(
            results.of("hookline", CONNECTIONS), lambda run: run.report.ok_per_s
        )
        rate = self.plan.rate or answered_per_s / 2
        if "half_load" in self.plan.only:
            self._half_load(results, rate)
        if "outage" in self.plan.only:
            say(f"outage of {self.plan.outage_s:g} s at {rate:,.0f} requests/s")
            results.outage = outage.outage(
                BY_NAME["hookline"],
                Load(connections=CONNECTIONS, seconds=self.plan.outage_s, rate=rate),
                self.directory / "outage",
                kafka=self.kafka,
                tail=self.tail,
            )
        if "faults" in self.plan.only:
            for name in UNDER_FAULTS:
                run = faults(
                    BY_NAME[name],
                    self.directory / f"faults-{name}",
                    kafka=self.kafka,
                    tail=self.tail,
                    say=say,
                )
                say(str(run))
                results.faults.append(run)
        if "compression" in self.plan.only:
            results.compression = compressions(rounds=self.plan.rounds, say=say)
        return results

    def _closed(self, results: Results, name: str, number: int) -> None:
        server = BY_NAME[name]
        with running(server, self.kafka.address, self.directory / f"{name}-{number}") as up:
            for connections in server.connections or self.plan.connections:
                run = measure(
                    Load(connections=connections, seconds=self.plan.seconds),
                    up,
                    kafka=self.kafka,
                    tail=self.tail,
                    warm_up_s=self.plan.warm_up_s,
                )
                say(line(run))
                results.closed.append(run)

    def _half_load(self, results: Results, rate: float) -> None:
        load = Load(connections=CONNECTIONS, seconds=self.plan.seconds, rate=rate)
        for number in range(self.plan.rounds):
            say(f"half load, {rate:,.0f} requests/s, round {number + 1} of {self.plan.rounds}")
            half = outage.half_load(
                BY_NAME["hookline"],
                load,
                self.directory / f"half-{number}",
                kafka=self.kafka,
                tail=self.tail,
                warm_up_s=self.plan.warm_up_s,
            )
            say(f"Kafka up: {line(half.up)}")
            say(f"Kafka down: {line(half.down)}")
            results.half_load.append(half)
        say("half load, Kafka down: aiohttp_awaiting")
        results.awaiting_without_kafka = outage.without_kafka(
            BY_NAME["aiohttp_awaiting"], load, self.directory / "awaiting", kafka=self.kafka
        )


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@only_option(*BY_NAME, *SCENARIOS)
@click.option(
    "--connections", default="1,64,256", callback=numbers, help="Numbers, separated by commas."
)
@click.option("--rounds", default=3, help="Each round measures everything once.")
@click.option("--seconds", "seconds", default=5.0, help="Length of one measured run.")
@click.option("--warm-up", "warm_up_s", default=1.0, help="Seconds of load before each run.")
@click.option("--outage", "outage_s", default=20.0, help="Seconds without Kafka.")
@click.option(
    "--rate", default=0.0, help="Half load, in requests/s; 0: half of what hookline answers here."
)
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure this ingress and its peers on one real Kafka, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 10 minutes.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    _check(plan)
    # Kafka is killed on purpose, so the clients' errors are expected.
    logging.getLogger("aiokafka").setLevel("CRITICAL")
    with broker(directory) as (where, kafka):
        bench = Bench(plan=plan, directory=where, kafka=kafka, tail=Tail(kafka.address))
        results = bench.run()
        figures = markdown(results, this_machine(where), rounds=plan.rounds, seconds=plan.seconds)
    click.echo(figures)
    click.echo(verdicts(goals(results)))
    if writes:
        write(PAGE, "ingress", figures)
    if results.missing:
        raise click.ClickException(f"{results.missing} OKs are not in Kafka")


def _check(plan: Plan) -> None:
    needs_rate = {"half_load", "outage"} & set(plan.only) and not plan.rate
    if needs_rate and not ("hookline" in plan.only and CONNECTIONS in plan.connections):
        raise click.UsageError(f"half load needs hookline at {CONNECTIONS} connections, or --rate")
    if importlib.util.find_spec("fastapi") is None and any("fastapi" in x for x in plan.only):
        raise click.UsageError("FastAPI is not installed; `make bench-ingress` does that")


if __name__ == "__main__":
    main()
