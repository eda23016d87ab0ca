"""Format questions, tables and goals as Markdown, and write them into bench/README.md."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bench.goals import Goal, median
from bench.machine import Machine
from bench.reading import Reading

Run = TypeVar("Run")

# A larger share of the machine, taken by others, is mentioned above the results.
OTHERS_MAX = 0.1
_MET = {True: "met", False: "**not met**", None: "not measured"}


def write(page: Path, name: str, tables: str) -> None:
    """Replace what is between the comments `name` and `/name` of the page by `tables`."""
    between = re.compile(f"(?<=<!-- {name} -->\n).*(?=<!-- /{name} -->)", re.DOTALL)
    page.write_text(between.sub(lambda _: f"\n{tables}\n", page.read_text()))


def introduction(machine: Machine, *, rounds: int, a_round: str) -> Iterator[str]:
    """Yield the lines above all tables: the machine, and what is measured in `a_round`."""
    yield f"{machine}."
    if rounds > 1:
        yield (
            f"Medians of {rounds} rounds; minimum and maximum in parentheses. In a round {a_round}."
        )
    else:
        yield f"One round: {a_round}."
    yield ""


def question(title: str, setting: str) -> Iterator[str]:
    """Yield the lines that introduce a table: the question, and how it was measured."""
    yield from (f"### {title}", "", setting, "")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table and an empty line; all columns but the first hold numbers."""
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' if at == 0 else '---:' for at in range(len(heads)))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def spread(runs: Sequence[Run], figure: Callable[[Run], float], form: str) -> str:
    """Return the median over all rounds, with minimum and maximum if there are several rounds."""
    values = [figure(run) for run in runs]
    middle = format(median(runs, figure), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"


def reading_cells(runs: Sequence[Reading], read: str) -> list[str]:
    """Return the last cells of a row of readings: memory, what was `read`, Kafka's CPU, others."""
    return [
        f"{max(run.rss_mib for run in runs):.0f}",
        read,
        f"{median(runs, lambda run: run.kafka_us):.1f}",
        f"{max(run.others for run in runs) * 100:.0f}",
    ]


def counted(*, expected: int, records: int, different: int, unexpected: str) -> str:
    """Return the number of records, and how many are missing, repeated or unexpected."""
    faults = [
        *([f"**{expected - different:,} missing**"] if different < expected else []),
        *([f"**{records - different:,} repeats**"] if records > different else []),
        *([f"{different - expected:,} {unexpected}"] if different > expected else []),
    ]
    return ", ".join([f"{records:,}", *faults])


def verdicts(goals: Iterable[Goal]) -> str:
    """Return the table of goals, with a heading for output that is not put on the page."""
    return "\n".join(["Goals:", "", *goal_table(goals)])


def goal_table(goals: Iterable[Goal]) -> Iterator[str]:
    """Yield the table of goals: the number reached, in how many rounds, and the verdict."""
    return table(
        ["goal", "wanted", "reached", "in rounds", ""],
        [
            [
                goal.what,
                f"{'≤' if goal.at_most else '≥'} {goal.bound:g}{goal.unit}",
                _reached(goal),
                f"{sum(map(goal.holds, goal.rounds))} of {len(goal.rounds)}" if goal.rounds else "",
                _MET[goal.met],
            ]
            for goal in goals
        ],
    )


def others_warning(others: float, advice: str) -> Iterator[str]:
    """Yield a warning and an empty line if other processes took too much; `others` is a share."""
    if others > OTHERS_MAX:
        yield f"**Other processes took up to {others:.0%} of the machine: {advice}.**"
        yield ""


def _reached(goal: Goal) -> str:
    if goal.met is None:
        return ""
    if len(goal.rounds) < 2:
        return f"{goal.measured:.2f}{goal.unit}"
    return f"{spread(goal.rounds, float, '.2f')}{goal.unit}"
