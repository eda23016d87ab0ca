"""
Count messages, people and more, by app and window of time, and the callbacks of every origin.

The position in Valkey is the authority: the consumer continues from there.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from consumers.counters.bounds import (
    KEEP_DAYS_S_MIN,
    KEEP_MINUTES_S,
    KEEP_QUARTERS_S,
    KEEP_S_MAX,
    PEOPLE_EXACT_MAX,
    Bounds,
)
from consumers.counters.counts import CountersHandler
from consumers.counters.server import VALKEY_URL
from consumers.counters.zones import DEFAULT_ZONE_NAME, parse_zones, zone_faults
from consumers.runtime.batch import Limits
from consumers.runtime.handler import Consumer, Handler
from schemas.setting import Format, Range, Secret
from schemas.topics import CALLBACKS

# An ingress commits a transaction each 0.1 to 0.25 s, and the age is checked after each fetch: a
# batch is delivered some 0.2 s after its first record was fetched. More batches would cost more
# CPU.
LIMITS = Limits(records=5000, bytes=2 << 20, age_s=0.15)
APP_ZONE = Format("like 1400000001=Europe/Berlin", re.compile(r"[^=]+=[^=]+").fullmatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersSettings:
    """
    COUNTERS_*: the consumer `counters`, `python -m consumers counters`.

    A batch of up to 5000 callbacks, 2 MiB of memory or 0.15 s is one call of a script in Valkey, or
    a few.
    """

    valkey: Annotated[
        Secret,
        VALKEY_URL,
        "URL of one Valkey (7.2 or newer), not of a cluster, with `appendonly yes`, the eviction "
        "policy `noeviction` and the default `set-max-intset-entries` of 512. "
        "`?password_file=PATH` in place of a password names a file that has it. Logs show `***`.",
    ]
    remember_s: Annotated[
        int,
        Range(60, KEEP_S_MAX, "seconds"),
        "Time for which the counters remember the ids of callbacks, by the minute of the message's "
        "time, and the people of a minute and of a day; at most COUNTERS_KEEP_MINUTES_S. The ids "
        "of a minute expire together, this time and an hour after the first of them was counted. "
        "After that, a repeated callback is counted again, a person may be counted twice in that "
        "minute, and the people of a day to which callbacks are added are estimated. "
        "The default is longer than the topic keeps records.",
    ] = 8 * 24 * 3600
    keep_minutes_s: Annotated[
        int,
        Range(60, KEEP_S_MAX, "seconds"),
        "Time for which the counts of minutes are kept, from the first callback of the same hour "
        "that was counted. After that they read as 0; the totals stay.",
    ] = KEEP_MINUTES_S
    keep_quarters_s: Annotated[
        int,
        Range(3600, KEEP_S_MAX, "seconds"),
        "Time for which the counts of quarter hours are kept, from the first callback of the same "
        "UTC day that was counted. Days of other time zones than the app's are added up from them.",
    ] = KEEP_QUARTERS_S
    keep_days_s: Annotated[
        int,
        Range(KEEP_DAYS_S_MIN, KEEP_S_MAX, "seconds"),
        "Time for which the counts of days are kept, from the first callback of the same month "
        "that was counted; at least COUNTERS_KEEP_QUARTERS_S.",
    ] = KEEP_S_MAX
    zone: Annotated[
        str,
        "Time zone (IANA) in which the days of apps begin. The days of an app stay in the zone "
        "in which they were first counted: a process with another one stops.",
    ] = DEFAULT_ZONE_NAME
    zones: Annotated[
        tuple[Annotated[str, APP_ZONE], ...],
        "The time zones of apps whose days are not those of COUNTERS_ZONE.",
    ] = ()
    people_exact_max: Annotated[
        int,
        Range(0, 100_000_000, "people"),
        "Largest number of distinct people, or groups, of an app that are counted exactly, for "
        "each figure of a day and for all time, with about 9 bytes each. Above it, the number is "
        "estimated from sketches of at most 12 KiB each, and the API shows the error.",
    ] = PEOPLE_EXACT_MAX
    conversations_max: Annotated[
        int,
        Range(0, 1_000_000_000, "conversations"),
        "Largest number of conversations of an app that are remembered, with about 9 bytes each. "
        "Above it, new ones are not counted any more.",
    ] = 5_000_000

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each relation between fields that does not hold."""
        if self.remember_s > self.keep_minutes_s:
            yield "COUNTERS_REMEMBER_S must be at most COUNTERS_KEEP_MINUTES_S"
        if self.keep_quarters_s > self.keep_days_s:
            yield "COUNTERS_KEEP_QUARTERS_S must be at most COUNTERS_KEEP_DAYS_S"
        yield from zone_faults("COUNTERS_ZONE", {self.zone: self.zone})
        # An entry without a zone is a fault of its own.
        zones = {entry: entry.partition("=")[2] for entry in self.zones}
        yield from zone_faults(
            "COUNTERS_ZONES", {text: zone for text, zone in zones.items() if zone}
        )

    def bounds(self) -> Bounds:
        """Return the bounds of what is counted."""
        return Bounds(
            remember_s=self.remember_s,
            keep_minutes_s=self.keep_minutes_s,
            keep_quarters_s=self.keep_quarters_s,
            keep_days_s=self.keep_days_s,
            people_exact_max=self.people_exact_max,
            conversations_max=self.conversations_max,
        )


@asynccontextmanager
async def _open(settings: CountersSettings) -> AsyncIterator[tuple[Handler, Limits]]:
    zones = parse_zones(settings.zone, settings.zones)
    counts = CountersHandler(settings.valkey, settings.bounds(), zones)
    try:
        yield counts, LIMITS
    finally:
        await counts.close()


COUNTERS = Consumer(name="counters", topic=CALLBACKS, settings=CountersSettings, open=_open)
