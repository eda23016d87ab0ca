"""`python -m bench.counters`: measure our counters and those that one would write without them."""

import importlib.util
import logging
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from bench.command import PAGE, broker, directory_option, numbers, only_option, say, write_option
from bench.counters.goals import Results
from bench.counters.measure import Topic, measure
from bench.counters.questions import ask_while_counting
from bench.counters.readers import BY_NAME
from bench.counters.tables import asked_line, line, markdown
from bench.goals import in_turn
from bench.machine import this_machine
from bench.markdown import write
from bench.preload import preload
from bench.scale.cores import assign

SCENARIOS = ("members", "people", "questions")
# People in the topic on which all counters are compared.
PEOPLE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The command's options."""

    only: tuple[str, ...]
    records: int
    rounds: int
    members: tuple[int, ...]
    people: tuple[int, ...]
    people_records: int
    history: int
    questions_records: int

    @property
    def turns(self) -> list[tuple[str, int]]:
        """Each counter with one member, and ours with several."""
        one = [(name, 1) for name in self.only if name in BY_NAME]
        several = self.members if "members" in self.only else ()
        ours = [("hookline", size) for size in several]
        return [*one, *(turn for turn in ours if turn not in one)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The plan, the machine's cores, and the results."""

    plan: Plan
    cores: tuple[int, ...]
    results: Results = field(default_factory=Results)

    def compare(self, directory: Path, topic: Topic) -> None:
        """Measure each counter, and each number of our members, once in each round."""
        for number in range(self.plan.rounds):
            for name, size in in_turn(self.plan.turns, number):
                say(f"round {number + 1} of {self.plan.rounds}: {name}")
                files = directory / f"{name}-{size}-{number}"
                cores = assign(
                    self.cores,
                    servers=size,
                    has_load=False,
                    has_valkey=BY_NAME[name].uses_valkey,
                )
                run = measure(BY_NAME[name], topic, cores, number=number, directory=files)
                say(line(run))
                self.results.compared.append(run)
                shutil.rmtree(files)

    def ask(self, directory: Path, topic: Topic) -> None:
        """Ask the statistics API while one member counts, once in each round."""
        cores = assign(self.cores, servers=1, has_load=False, has_valkey=True)
        for number in range(self.plan.rounds):
            say(f"questions, round {number + 1} of {self.plan.rounds}")
            files = directory / f"questions-{number}"
            asked = ask_while_counting(
                topic, self.plan.history, cores, number=number, directory=files
            )
            say(asked_line(asked))
            self.results.asked.append(asked)
            shutil.rmtree(files)

    def vary_people(self, directory: Path, topics: list[Topic]) -> None:
        """Measure our counters on each topic once in each round."""
        cores = assign(self.cores, servers=1, has_load=False, has_valkey=True)
        for number in range(self.plan.rounds):
            for topic in in_turn(topics, number):
                say(f"people, round {number + 1} of {self.plan.rounds}: {topic.users:,}")
                files = directory / f"people-{topic.users}-{number}"
                run = measure(BY_NAME["hookline"], topic, cores, number=number, directory=files)
                say(line(run))
                self.results.by_users.append(run)
                shutil.rmtree(files)


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@only_option(*BY_NAME, *SCENARIOS)
@click.option(
    "--records", default=200_000, help="Records in the topic on which all counters are compared."
)
@click.option(
    "--rounds", default=3, help="In each round every counter and number is measured once."
)
@click.option("--members", default="1,2,4", callback=numbers, help="Of our counters' group.")
@click.option(
    "--people",
    default="1,20000,1000000",
    callback=numbers,
    help="Numbers of people in topics of their own, separated by commas.",
)
@click.option("--people-records", default=1_000_000, help="Records in each of these topics.")
@click.option(
    "--history",
    default=60_000,
    help="Records of the 30 days before, in the topic that is counted while the API is asked.",
)
@click.option("--questions-records", default=600_000, help="Records in that topic after them.")
@directory_option
@write_option
def main(*, directory: Path | None, writes: bool, **asked: object) -> None:
    """
    Measure our counters and their peers on one real topic, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 15 minutes.
    """
    plan = Plan(**asked)  # type: ignore[arg-type]  # click has checked and converted them
    logging.getLogger("aiokafka").setLevel("CRITICAL")
    bench = Bench(plan=plan, cores=tuple(sorted(os.sched_getaffinity(0))))
    if "quix_window" in plan.only and importlib.util.find_spec("quixstreams") is None:
        bench.results.left_out = (
            "quix_window is left out: quixstreams is not installed; `make bench-counters` does that"
        )
        say(bench.results.left_out)
        only = tuple(name for name in plan.only if name != "quix_window")
        bench = replace(bench, plan=replace(plan, only=only))
    plan = bench.plan
    with broker(directory) as (where, kafka):
        machine = this_machine(where)
        say(f"{machine}")
        if plan.turns:
            preload(kafka.address, plan.records, where, users=PEOPLE, say=say)
            bench.compare(where, Topic(kafka=kafka, records=plan.records, users=PEOPLE))
    if "people" in plan.only:
        # A broker for each topic, because all topics have the same name; they are measured in turn.
        with ExitStack() as stack:
            topics = []
            for users in plan.people:
                where, kafka = stack.enter_context(broker(directory))
                say(f"a topic with {users:,} people")
                preload(kafka.address, plan.people_records, where, users=users, say=say)
                topics.append(Topic(kafka=kafka, records=plan.people_records, users=users))
            bench.vary_people(where, topics)
    if "questions" in plan.only:
        with broker(directory) as (where, kafka):
            records = plan.history + plan.questions_records
            preload(kafka.address, records, where, users=PEOPLE, history=plan.history, say=say)
            bench.ask(where, Topic(kafka=kafka, records=records, users=PEOPLE))
    tables = markdown(bench.results, machine, rounds=plan.rounds)
    click.echo(tables)
    if writes:
        write(PAGE, "counters", tables)
    if bench.results.wrong:
        raise click.ClickException(f"{bench.results.wrong} records are not counted exactly once")


if __name__ == "__main__":
    main()
