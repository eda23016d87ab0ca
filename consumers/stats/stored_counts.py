"""Read the counts in Valkey. Only the sums over several apps are computed here."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.counters.counts import answering
from schemas.figures import ACTIVE, COMMAND, KINDS, PEOPLE

# The standard error of a count by Valkey's HyperLogLog.
SKETCH_ERROR = 0.0081
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class Totals:
    """All counts of one app. `people_error` is 0.0 if the number of people is exact."""

    one_to_one_messages: int = 0
    group_messages: int = 0
    online_only: int = 0
    undelivered: int = 0
    by_app: int = 0
    by_robots: int = 0
    people: int = 0
    people_error: float = 0.0
    repeats: int = 0
    by_command: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Totals") -> None:
        """Add the counts of another app. No person belongs to two apps, so people add up, too."""
        for kind in KINDS:
            setattr(self, kind, getattr(self, kind) + getattr(other, kind))
        self.people += other.people
        self.people_error = max(self.people_error, other.people_error)
        self.repeats += other.repeats
        for command, count in other.by_command.items():
            self.by_command[command] = self.by_command.get(command, 0) + count


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """The counts of the callbacks received in one minute (UTC)."""

    minute: datetime
    one_to_one_messages: int
    group_messages: int
    online_only: int
    undelivered: int
    by_app: int
    by_robots: int
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """
    The number of sequences of an origin that were counted in a partition: proof for the audit.

    `sequence_sum` is their sum modulo 2^52.
    """

    applied: int
    sequence_sum: int


class StoredCounts:
    """
    The counts in one Valkey.

    Every method raises Unavailable if Valkey does not answer.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def apps(self) -> list[str]:
        """Return the SdkAppid of every app with counts."""
        async with answering():
            generation = await self._generation()
            apps: set[bytes] = await self._valkey.smembers(layout.apps(generation))  # type: ignore[misc]  # typed for both of its clients
        return sorted(app.decode() for app in apps)

    async def totals(self, app: str) -> Totals:
        """Return the counts of one app."""
        async with answering(), self._valkey.pipeline(transaction=True) as pipeline:
            generation = await self._generation()
            pipeline.hgetall(layout.totals(generation, app))
            pipeline.pfcount(
                *(layout.total_sketch(generation, role, app) for role in PEOPLE[ACTIVE])
            )
            counts, sketched = await pipeline.execute()
        named = _integers(counts)
        exact = named.get(ACTIVE, 0)
        is_exact = layout.SKETCHED + ACTIVE not in named
        return Totals(
            **{kind: named.get(kind, 0) for kind in KINDS},
            people=exact if is_exact else max(exact, sketched),
            people_error=0.0 if is_exact else SKETCH_ERROR,
            repeats=named.get(layout.REPEATS, 0),
            by_command={
                name.removeprefix(COMMAND): count
                for name, count in named.items()
                if name.startswith(COMMAND)
            },
        )

    async def applied(self) -> dict[str, dict[str, Applied]]:
        """Return the counted sequences of every origin, by partition (`TOPIC/NUMBER`)."""
        async with answering(), self._valkey.pipeline(transaction=True) as pipeline:
            generation = await self._generation()
            pipeline.hgetall(layout.applied(generation))
            pipeline.hgetall(layout.sequence_sums(generation))
            counts, sums = map(_integers, await pipeline.execute())
        origins: dict[str, dict[str, Applied]] = defaultdict(dict)
        for place, count in counts.items():
            origin, _, partition = place.partition("/")
            origins[origin][partition] = Applied(applied=count, sequence_sum=sums[place])
        return origins

    async def minutes(self, apps: Iterable[str], begin: datetime, end: datetime) -> list[Minute]:
        """Return every minute from `begin` (a whole minute) until before `end`, also empty ones."""
        hours = [
            begin.replace(minute=0) + number * HOUR
            for number in range(-(-(end - begin.replace(minute=0)) // HOUR))
        ]
        async with answering(), self._valkey.pipeline(transaction=True) as pipeline:
            generation = await self._generation()
            for app in apps:
                for hour in hours:
                    pipeline.hgetall(layout.minutes(generation, app, _number(hour)))
            hashes = await pipeline.execute()
        counted: dict[datetime, Counter[str]] = {hour: Counter() for hour in hours}
        for index, fields in enumerate(hashes):
            counted[hours[index % len(hours)]].update(_integers(fields))
        return [
            _minute(at := begin + number * MINUTE, counted[at.replace(minute=0)])
            for number in range((end - begin) // MINUTE)
        ]

    async def _generation(self) -> int:
        """Return the generation of counts that is served."""
        found: bytes | None = await self._valkey.get(layout.GENERATION)
        return int(found or layout.FIRST_GENERATION)


def _minute(at: datetime, hour: Counter[str]) -> Minute:
    number = _number(at)
    return Minute(
        minute=at,
        **{kind: hour[layout.minute_field(number, kind)] for kind in KINDS},
        people=hour[layout.minute_field(number, ACTIVE)],
    )


def _number(minute: datetime) -> int:
    """Return the number of a minute since 1970."""
    return int(minute.timestamp()) // layout.MINUTE_S


def _integers(fields: dict[bytes, Any]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in fields.items()}
