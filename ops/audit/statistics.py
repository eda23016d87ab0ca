"""The totals of the statistics API, as an audit needs them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """
    The statistics API's numbers; `people` is None if they are only an estimate.

    `messages` are those between two people and those of groups, together.
    """

    messages: int
    people: int | None
    # By origin and partition, the number of sequences that the counters have applied, repeats
    # included, and their sum modulo SUM_MODULUS.
    applied: Mapping[str, Mapping[int, tuple[int, int]]]
