"""`python -m bench.ingress`: measure this ingress and what one would write without it."""

import importlib.util
import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench.command import PAGE, broker, directory_option, numbers, only_option, say, write_option
from bench.goals import in_turn, median
from bench.ingress import durable_streams, outage
from bench.ingress.compression import compressions
from bench.ingress.faults import faults
from bench.ingress.goals import Results
from bench.ingress.measure import Load, measure, warm_up
from bench.ingress.servers import BY_NAME, COMPARED_AT, SERVERS, running
from bench.ingress.tables import line, markdown
from bench.machine import this_machine
from bench.markdown import write
from bench.topic import Tail
from ops.demo.embedded.child import ProgramMissing
from ops.demo.embedded.kafka import EmbeddedKafka

SCENARIOS = ("faults", "half_load", "outage", "compression")
COMPRESSION_ROUNDS = 3
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
            self._round(results, number)
        answered_per_s = median(
            results.of("hookline", COMPARED_AT), lambda run: run.report.ok_per_s
        )
        rate = self.plan.rate or answered_per_s / 2
        if "half_load" in self.plan.only:
            self._half_load(results, rate)
        if "outage" in self.plan.only:
            say(f"outage of {self.plan.outage_s:g} s at {rate:,.0f} requests/s")
            results.outage = outage.outage(
                BY_NAME["hookline"],
                Load(connections=COMPARED_AT, seconds=self.plan.outage_s, rate=rate),
                self.directory / "outage",
                kafka=self.kafka,
                tail=self.tail,
            )
        if "faults" in self.plan.only:
            self._faults(results)
        if "compression" in self.plan.only:
            results.compression = compressions(rounds=COMPRESSION_ROUNDS, say=say)
        return results

    def _round(self, results: Results, number: int) -> None:
        """Let all servers take turns once, each in a new process; odd rounds in reverse order."""
        servers = [server for server in SERVERS if server.name in self.plan.only]
        with ExitStack() as stack:
            turns = [
                stack.enter_context(
                    running(server, self.kafka.address, self.directory / f"{server.name}-{number}")
                )
                for server in servers
            ]
            for up in turns:
                load = Load(connections=COMPARED_AT, seconds=self.plan.seconds)
                warm_up(load, up, seconds=self.plan.warm_up_s)
            for connections in self.plan.connections:
                say(f"round {number + 1} of {self.plan.rounds}")
                load = Load(connections=connections, seconds=self.plan.seconds)
                for up in in_turn(turns, number):
                    if connections in (up.server.connections or self.plan.connections):
                        run = measure(load, up, number=number, kafka=self.kafka, tail=self.tail)
                        say(line(run))
                        results.closed.append(run)

    def _half_load(self, results: Results, rate: float) -> None:
        # A p99 needs more requests than a mean, and this is half of the rate.
        load = Load(connections=COMPARED_AT, seconds=2 * self.plan.seconds, rate=rate)
        for number in range(self.plan.rounds):
            say(f"half load, {rate:,.0f} requests/s, round {number + 1} of {self.plan.rounds}")
            half = outage.half_load(
                BY_NAME["hookline"],
                load,
                self.directory / f"half-{number}",
                number=number,
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

    def _faults(self, results: Results) -> None:
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


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@only_option(*BY_NAME, *SCENARIOS)
@click.option(
    "--connections", default="1,64,256", callback=numbers, help="Numbers, separated by commas."
)
@click.option("--rounds", default=8, help="In each round the servers take turns once.")
@click.option("--seconds", "seconds", default=1.0, help="Length of one measured run.")
@click.option("--warm-up", "warm_up_s", default=0.5, help="Seconds of load for each new process.")
@click.option("--outage", "outage_s", default=20.0, help="Seconds without Kafka.")
@click.option(
    "--rate", default=0.0, help="Half load, in requests/s; 0: half of what hookline answers here."
)
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure this ingress and its peers on one real Kafka, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 11 minutes.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    _check(plan)
    left_out = ""
    if "durable_streams" in plan.only:
        try:
            durable_streams.build(say)
        except ProgramMissing as missing:
            left_out = str(missing)
            say(left_out)
            plan = replace(plan, only=tuple(set(plan.only) - {"durable_streams"}))
    # Kafka is killed on purpose, so the clients' errors are expected.
    logging.getLogger("aiokafka").setLevel("CRITICAL")
    with broker(directory) as (where, kafka):
        bench = Bench(plan=plan, directory=where, kafka=kafka, tail=Tail(kafka.address))
        say(f"{this_machine(where)}")
        results = bench.run()
        results.left_out = left_out
        tables = markdown(results, this_machine(where), rounds=plan.rounds, seconds=plan.seconds)
    click.echo(tables)
    if writes:
        write(PAGE, "ingress", tables)
    if results.missing:
        raise click.ClickException(f"{results.missing} OKs are not in Kafka")


def _check(plan: Plan) -> None:
    needs_rate = {"half_load", "outage"} & set(plan.only) and not plan.rate
    if needs_rate and not ("hookline" in plan.only and COMPARED_AT in plan.connections):
        raise click.UsageError(f"half load needs hookline at {COMPARED_AT} connections, or --rate")
    if importlib.util.find_spec("fastapi") is None and any("fastapi" in x for x in plan.only):
        raise click.UsageError("FastAPI is not installed; `make bench-ingress` does that")


if __name__ == "__main__":
    main()
