"""
Count messages and people, by app and by minute of receipt, and the callbacks of every origin.

The position in Valkey is the authority: the consumer continues from there.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from consumers.counters.counts import VALKEY_URL, Counts
from consumers.runtime.batch import Limits
from consumers.runtime.handler import Consumer, Handler
from schemas.setting import Range, Secret
from schemas.topics import CALLBACKS

# An ingress commits a transaction each 0.1 to 0.25 s, and the age is checked after each fetch: a
# batch is delivered some 0.2 s after its first record was fetched. More batches would cost more
# CPU.
LIMITS = Limits(records=1000, bytes=4 << 20, age_s=0.15)
# Ten years of 365 days.
KEEP_S_MAX = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersSettings:
    """
    COUNTERS_*: the consumer `counters`, `python -m consumers counters`.

    A batch of up to 1000 callbacks, 4 MiB or 0.15 s is one call of a script in Valkey.
    """

    valkey: Annotated[
        Secret,
        VALKEY_URL,
        "URL of one Valkey (7.2 or newer), not of a cluster, with `appendonly yes`, the eviction "
        "policy `noeviction` and the default `set-max-intset-entries` of 512. Logs show `***`.",
    ]
    remember_s: Annotated[
        int,
        Range(60, KEEP_S_MAX, "seconds"),
        "Time for which the counters remember the ids of callbacks, by the hour of the message's "
        "time, and the people of a minute; at most COUNTERS_KEEP_MINUTES_S. The ids of an hour "
        "expire together, this time and an hour after the first of them was counted. After that, "
        "a repeated callback is counted again, and a person may be counted twice in that minute. "
        "The default is longer than the topic keeps records.",
    ] = 8 * 24 * 3600
    keep_minutes_s: Annotated[
        int,
        Range(60, KEEP_S_MAX, "seconds"),
        "Time for which the counts of minutes are kept, from the first callback of the same hour "
        "that was counted. After that they read as 0; the totals stay.",
    ] = 90 * 24 * 3600
    people_exact_max: Annotated[
        int,
        Range(0, 100_000_000, "people"),
        "Largest number of distinct people of an app that the totals count exactly, with about 40 "
        "bytes each. Above it, the number is estimated with 12 KiB per app, and the API shows the "
        "error.",
    ] = 1_000_000

    def faults(self) -> Iterator[str]:
        """Yield a sentence for each relation between fields that does not hold."""
        if self.remember_s > self.keep_minutes_s:
            yield "COUNTERS_REMEMBER_S must be at most COUNTERS_KEEP_MINUTES_S"


@asynccontextmanager
async def _open(settings: CountersSettings) -> AsyncIterator[tuple[Handler, Limits]]:
    counts = Counts(
        settings.valkey,
        remember_s=settings.remember_s,
        keep_minutes_s=settings.keep_minutes_s,
        people_exact_max=settings.people_exact_max,
    )
    try:
        yield counts, LIMITS
    finally:
        await counts.close()


COUNTERS = Consumer(name="counters", topic=CALLBACKS, settings=CountersSettings, open=_open)
