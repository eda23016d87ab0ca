"""
How long the counts of a generation are kept, and how many people of a day exactly.

The counters store it, and the statistics API reads it. So the API refuses questions for what is not
kept any more, the page shows the exact bound, and neither has settings that repeat those of the
counters.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.counters.bounds import (
    KEEP_MINUTES_S,
    KEEP_QUARTERS_S,
    KEEP_S_MAX,
    PEOPLE_EXACT_MAX,
    Bounds,
)
from consumers.runtime.handler import Unavailable

_PEOPLE_EXACT_MAX = "people-exact-max"
_TEXT = re.compile(rb"([0-9]{1,10})(?: ([0-9]{1,10}) ([0-9]{1,10}))?")


@dataclass(frozen=True, slots=True)
class KeepTime:
    """
    A time in seconds for which counts are kept.

    If it was made longer at `changed_at_s`, only counts of the last `before_s` existed then.
    """

    seconds: int
    before_s: int
    changed_at_s: int = 0

    def kept_age_s(self, now_s: int) -> int:
        """Return the age in seconds up to which counts are there at a time."""
        return min(self.seconds, self.before_s + max(0, now_s - self.changed_at_s))

    @property
    def text(self) -> str:
        """The text that is stored."""
        if self.before_s >= self.seconds:
            return str(self.seconds)
        return f"{self.seconds} {self.before_s} {self.changed_at_s}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepTimes:
    """
    How long minutes, quarter hours and days are kept.

    Up to `people_exact_max` people, a day of an app has their exact number.
    """

    minutes: KeepTime
    quarters: KeepTime
    days: KeepTime
    people_exact_max: int


def keep_times_of(stored: Mapping[bytes, bytes], key: str) -> KeepTimes:
    """
    Return what is in the hash `key`; a field that is absent is the default of the counters.

    Raises:
        Unavailable: a field has another text, which no process writes.
    """

    def numbers(name: str, default: int) -> list[int]:
        text = stored.get(name.encode(), b"%d" % default)
        if not _TEXT.fullmatch(text):
            raise Unavailable(
                f"Valkey: the field {name} of the key {key} has {text!r:.50}, not a "
                f"number. Delete the field with HDEL {key} {name}, then restart the counters"
            )
        return [int(number) for number in text.split()]

    def kept_for(name: str, default_s: int) -> KeepTime:
        seconds, *change = numbers(name, default_s)
        return KeepTime(seconds, *(change or [seconds]))

    return KeepTimes(
        minutes=kept_for("minutes", KEEP_MINUTES_S),
        quarters=kept_for("quarters", KEEP_QUARTERS_S),
        days=kept_for("days", KEEP_S_MAX),
        people_exact_max=numbers(_PEOPLE_EXACT_MAX, PEOPLE_EXACT_MAX)[0],
    )


async def store_keep_times(valkey: Valkey, generation: int, bounds: Bounds, now_s: int) -> None:
    """
    Store what this process keeps of a generation, and for how long, if something else is stored.

    Raises:
        Unavailable: a stored number cannot be read. Errors of Valkey are left to the caller.
    """
    key = layout.kept(generation)
    stored: dict[bytes, bytes] = await valkey.hgetall(key)  # type: ignore[misc]  # typed for both of its clients
    stored_times = keep_times_of(stored, key)
    changed: dict[str, str] = {}
    for name, before, seconds in (
        ("minutes", stored_times.minutes, bounds.keep_minutes_s),
        ("quarters", stored_times.quarters, bounds.keep_quarters_s),
        ("days", stored_times.days, bounds.keep_days_s),
    ):
        if name.encode() not in stored:
            changed[name] = str(seconds)
        elif before.seconds != seconds:
            changed[name] = KeepTime(seconds, before.kept_age_s(now_s), now_s).text
    people_exact_max = str(bounds.people_exact_max)
    if stored.get(_PEOPLE_EXACT_MAX.encode()) != people_exact_max.encode():
        changed[_PEOPLE_EXACT_MAX] = people_exact_max
    if changed:
        await valkey.hset(key, mapping=changed)  # type: ignore[misc]  # as above
