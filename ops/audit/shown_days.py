"""The days of an app in the statistics, as an audit needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Numbers(NamedTuple):
    """The messages, and all callbacks, of a day."""

    messages: int
    callbacks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDays:
    """
    The days of one app in the statistics. A day is a text like 2026-11-28.

    All days up to `last` were asked for. `first` is the first day that has a callback, "" if no day
    has one. Days that are not in `numbers` have none.
    """

    zone: str
    first: str
    last: str
    numbers: Mapping[str, Numbers]
