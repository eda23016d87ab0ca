"""
Ask Valkey for counts: fields of hashes and unions of sketches, in bounded steps.

Only here are commands sent for the figures of windows. Each step is a pipeline, not a transaction,
so that the counters' calls come in between.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo

from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.counters.keep_times import KeepTimes, keep_times_of
from consumers.counters.server import answering, generation_of
from consumers.counters.zones import DEFAULT_ZONE_NAME
from consumers.stats.fields import Fields, read_fields

# The largest number of values, and of sketches, that one step reads. Valkey merges some 100 to 200
# sketches in a millisecond, and answers no other client meanwhile.
VALUES_PER_STEP_MAX = 20_000
SKETCHES_PER_STEP_MAX = 500
# Steps that are asked of Valkey concurrently, each on a connection of its own; the others wait.
STEPS_MAX = 16
# How many unions of sketches are remembered, with some 300 bytes each, and for how long. A late
# callback changes such an estimate by less than its error.
UNIONS_MAX = 20_000
UNIONS_S = 300.0
# The zone that is meant if the apps' days are in different ones.
DEFAULT_ZONE = ZoneInfo(DEFAULT_ZONE_NAME)

Read = TypeVar("Read")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class CountedApp:
    """An app with counts in a generation. `zone` is that of its days."""

    generation: int
    name: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Catalog:
    """
    The apps with counts in a generation, by name and in the order of their names.

    `keep_times` is how long the counts are kept, and how many people exactly.
    """

    generation: int
    apps: Mapping[str, CountedApp]
    keep_times: KeepTimes

    def only(self, app: str) -> "Catalog":
        """Return the same with one of the apps."""
        return Catalog(self.generation, {app: self.apps[app]}, self.keep_times)

    @property
    def zone(self) -> ZoneInfo:
        """The zone that the days of all apps share, else DEFAULT_ZONE."""
        zones = {app.zone for app in self.apps.values()}
        return zones.pop() if len(zones) == 1 else DEFAULT_ZONE


@dataclass(frozen=True, slots=True)
class Sketches:
    """
    Sketches whose union is counted, and remembered by `name` if `is_over`: their time has passed.

    `keys` are made only if they are needed: a day has 96 quarter hours of several roles.
    """

    name: Hashable
    keys: Callable[[], tuple[str, ...]]
    is_over: bool


class StoredCounts:
    """
    The counts in one Valkey.

    Every method raises Unavailable if Valkey does not answer.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._steps = asyncio.Semaphore(STEPS_MAX)
        self._generation = layout.FIRST_GENERATION
        self._catalog: Catalog | None = None
        # The estimates that are remembered, in the order in which they were asked for.
        self._unions: dict[Hashable, tuple[float, int]] = {}

    async def catalog(self) -> Catalog:
        """Return the apps of the generation that is served now."""
        while True:
            generation = self._generation
            async with answering(), self._valkey.pipeline(transaction=True) as pipeline:
                pipeline.get(layout.GENERATION)
                pipeline.smembers(layout.apps(generation))
                pipeline.hgetall(layout.zones(generation))
                pipeline.hgetall(layout.kept(generation))
                served, apps, zones, kept = await pipeline.execute()
            self._generation = generation_of(served)
            if self._generation == generation:
                of_apps = {app.decode(): ZoneInfo(zone.decode()) for app, zone in zones.items()}
                self._catalog = Catalog(
                    generation,
                    {
                        name: CountedApp(generation, name, of_apps.get(name, DEFAULT_ZONE))
                        for name in sorted(map(bytes.decode, apps))
                    },
                    keep_times_of(kept, layout.kept(generation)),
                )
                return self._catalog

    async def with_catalog(self, ask: Callable[[Catalog], Awaitable[Answer]]) -> Answer:
        """
        Return what `ask` finds with the apps of the generation that is served now.

        It is asked with the last known apps while the present ones are read, because each read may
        wait for a call of the counters. If they differ, which is rare, it is asked again.
        """
        known = self._catalog
        if known is not None:
            present, result = await asyncio.gather(
                self.catalog(), ask(known), return_exceptions=True
            )
            if isinstance(present, BaseException):
                raise present
            if present == known:
                if isinstance(result, BaseException):
                    raise result
                return result
        return await ask(await self.catalog())

    async def totals(self, key: str, sketches: Sequence[str]) -> tuple[dict[str, int], int]:
        """Return all numbers of a hash, and the people of a union, both at one moment."""
        async with answering(), self._valkey.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(key)
            pipeline.pfcount(*sketches)
            fields, estimate = await pipeline.execute()
        return _integers(fields), estimate

    async def both_hashes(self, one: str, other: str) -> tuple[dict[str, int], dict[str, int]]:
        """Return all numbers of two hashes, both at one moment."""
        async with answering(), self._valkey.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(one)
            pipeline.hgetall(other)
            of_one, of_other = await pipeline.execute()
        return _integers(of_one), _integers(of_other)

    async def exist(self, keys: Sequence[str]) -> list[bool]:
        """Return for each key whether it exists."""
        async with answering(), self._valkey.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            return [bool(number) for number in await pipeline.execute()]

    async def hashes(self, reads: Sequence[Fields]) -> list[list[int]]:
        """Return the numbers in the fields of each hash in this order, 0 for one that is absent."""
        numbers: list[list[int]] = []
        for step in _steps(reads, lambda read: read.count, VALUES_PER_STEP_MAX):
            async with answering(), self._steps:
                answers = await read_fields(self._valkey, step)
            numbers += [[int(value) if value else 0 for value in values] for values in answers]
        return numbers

    async def unions(self, requested: Sequence[Sketches | None]) -> list[int]:
        """Return the estimated number of people in each union, 0 if none is asked for or there."""
        now = time.monotonic()
        known: dict[Hashable, int] = {}
        missing: dict[Hashable, Sketches] = {}
        for sketches in filter(None, requested):
            number = self._remembered(sketches.name, now)
            if number is None:
                missing[sketches.name] = sketches
            else:
                known[sketches.name] = number
        reads = [(name, sketches.keys()) for name, sketches in missing.items()]
        # In the first quarter hour of a day, the part of it until now has no sketches.
        reads = [(name, keys) for name, keys in reads if keys]
        for step in _steps(reads, lambda read: len(read[1]), SKETCHES_PER_STEP_MAX):
            async with (
                answering(),
                self._steps,
                self._valkey.pipeline(transaction=False) as pipeline,
            ):
                for _, keys in step:
                    pipeline.pfcount(*keys)
                counted: list[int] = await pipeline.execute()
            for (name, _), number in zip(step, counted, strict=True):
                known[name] = number
                if missing[name].is_over:
                    self._remember(name, now + UNIONS_S, number)
        return [known.get(sketches.name, 0) if sketches else 0 for sketches in requested]

    def _remembered(self, name: Hashable, now: float) -> int | None:
        until, number = self._unions.get(name, (0.0, 0))
        return number if until > now else None

    def _remember(self, name: Hashable, until: float, number: int) -> None:
        self._unions.pop(name, None)
        if len(self._unions) >= UNIONS_MAX:
            self._unions.pop(next(iter(self._unions)))
        self._unions[name] = (until, number)


def _integers(fields: Mapping[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in fields.items()}


def _steps(
    reads: Sequence[Read], size_of: Callable[[Read], int], total_max: int
) -> Iterable[list[Read]]:
    """Yield the reads in lists of at most `total_max` values, or of one read."""
    step: list[Read] = []
    total = 0
    for read in reads:
        size = size_of(read)
        if step and total + size > total_max:
            yield step
            step, total = [], 0
        step.append(read)
        total += size
    if step:
        yield step
