"""Goals, medians and the order of turns: what all benchmarks conclude from their rounds."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Run = TypeVar("Run")
Turn = TypeVar("Turn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """
    One goal and the measured value in its unit; NaN if it was not measured.

    `rounds` are the values of all rounds, of which `measured` is the median; empty if the value
    was measured once or is not one of rounds.
    """

    what: str
    bound: float
    at_most: bool
    measured: float
    unit: str = ""
    rounds: Sequence[float] = ()

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if it was not measured."""
        return None if math.isnan(self.measured) else self.holds(self.measured)

    def holds(self, value: float) -> bool:
        """Return whether a round with this value would meet the goal."""
        return value <= self.bound if self.at_most else value >= self.bound


def goal_of_rounds(
    what: str, values: Sequence[float], *, bound: float, at_most: bool, unit: str = ""
) -> Goal:
    """Return a goal for the median of the rounds; without a round it was not measured."""
    return Goal(
        what=what,
        bound=bound,
        at_most=at_most,
        measured=median(values, float),
        unit=unit,
        rounds=tuple(values),
    )


def median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    """Return the median of a value over all rounds; NaN if there are none."""
    return statistics.median(map(figure, runs)) if runs else math.nan


def in_turn(turns: Sequence[Turn], number: int) -> Sequence[Turn]:
    """Return the order of round `number`: A B C, then C B A, so that a steady drift cancels out."""
    return turns[::-1] if number % 2 else turns
