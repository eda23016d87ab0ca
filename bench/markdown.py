"""Tables, verdicts and their place on the page, for every benchmark."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bench.ingress.goals import Goal, median

Run = TypeVar("Run")

_MET = {True: "met", False: "**not met**", None: "not measured"}


def write(page: Path, name: str, figures: str) -> None:
    """Put the figures between the page's marks of that name, in place of those that were there."""
    between = re.compile(f"(?<=<!-- {name} -->\n).*(?=<!-- /{name} -->)", re.DOTALL)
    page.write_text(between.sub(lambda _: f"\n{figures}\n", page.read_text()))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, its first column of words, and an empty one."""
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' if at == 0 else '---:' for at in range(len(heads)))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def spread(runs: Sequence[Run], figure: Callable[[Run], float], form: str) -> str:
    """Return the median of a figure over rounds, with least and most if there are several."""
    values = [figure(run) for run in runs]
    middle = format(median(runs, figure), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"


def counted(*, expected: int, records: int, different: int, unexpected: str) -> str:
    """Return how many records there are, and what is wrong with that."""
    faults = [
        *([f"**{expected - different:,} missing**"] if different < expected else []),
        *([f"**{records - different:,} repeats**"] if records > different else []),
        *([f"{different - expected:,} {unexpected}"] if different > expected else []),
    ]
    return ", ".join([f"{records:,}", *faults])


def verdicts(goals: Iterable[Goal]) -> Iterator[str]:
    """Yield the table of goals."""
    yield "Goals:"
    yield ""
    yield from table(
        ["goal", "wanted", "measured", ""],
        [
            [
                goal.what,
                f"{'≤' if goal.at_most else '≥'} {goal.bound:g}{goal.unit}",
                "" if goal.met is None else f"{goal.measured:.2f}{goal.unit}",
                _MET[goal.met],
            ]
            for goal in goals
        ],
    )
