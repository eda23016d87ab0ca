"""
Count callbacks: messages and people per minute of receipt, and how much of every origin.

Valkey's own position is the authority on where to go on.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consumers.counters.counts import URL, Counts
from consumers.runtime.batch import Limits
from consumers.runtime.handler import Consumer, Handler
from schemas.settings import Secret
from schemas.topics import CALLBACKS

LIMITS = Limits(records=1000, bytes=4 << 20, age_s=0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersSettings:
    """COUNTERS_*: which Valkey, and what is kept for how long."""

    valkey: Secret
    remember_s: int = 8 * 24 * 3600
    keep_minutes_s: int = 90 * 24 * 3600
    people_exact_max: int = 1_000_000

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not URL.fullmatch(self.valkey):
            yield "COUNTERS_VALKEY must be like valkey://:password@host:6379/0"
        if not 60 <= self.remember_s <= self.keep_minutes_s <= 10 * 365 * 24 * 3600:
            yield "60 <= COUNTERS_REMEMBER_S <= COUNTERS_KEEP_MINUTES_S <= 315360000 must hold"
        if not 0 <= self.people_exact_max <= 100_000_000:
            yield "COUNTERS_PEOPLE_EXACT_MAX must be from 0 to 100000000"


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
