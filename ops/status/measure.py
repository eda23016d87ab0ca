"""Ask all parts, concurrently, for the report."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from valkey.asyncio import Valkey

from consumers.counters.server import connect
from consumers.stats.pipeline import Pipeline, watched_pipeline
from consumers.stats.processes import Watched
from ops.status.build import build
from ops.status.report import Report, StoreReport
from ops.status.stores import archive_store, postgres_store, valkey_store
from schemas.kafka_access import KafkaAccess
from schemas.setting import Secret

# The stores are measured only so often while the screen is refreshed.
STORES_POLL_S = 30.0
ZONE = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The addresses of all parts; those that are None or empty are not asked."""

    ingress: Sequence[str]
    consumers: Sequence[tuple[str, str]]
    gateway: str | None
    statistics: str | None
    kafka: KafkaAccess | None
    valkey: str | None
    postgres: str | None
    archive: str | None


class Measurement:
    """Use `measuring`."""

    def __init__(self, parts: Parts, pipeline: Pipeline, valkey: Valkey | None) -> None:
        self._parts = parts
        self._pipeline = pipeline
        self._valkey = valkey
        self._stores: list[StoreReport] = []
        self._stores_at = -math.inf

    async def report(self) -> Report:
        """Return the state of all parts. Each of them has a time limit, so it ends within 5 s."""
        _, stores = await asyncio.gather(self._pipeline.measured(), self._measured_stores())
        health = await self._pipeline.current(ZONE)
        return build(health, await self._pipeline.measured(), stores, self._parts.kafka)

    async def _measured_stores(self) -> list[StoreReport]:
        now = asyncio.get_running_loop().time()
        if now - self._stores_at > STORES_POLL_S:
            self._stores, self._stores_at = await self._measure_stores(), now
        return self._stores

    async def _measure_stores(self) -> list[StoreReport]:
        asked = []
        if self._parts.archive:
            asked.append(archive_store(self._parts.archive))
        if self._parts.postgres:
            asked.append(self._postgres(self._parts.postgres))
        if self._valkey is not None:
            asked.append(valkey_store(self._valkey))
        return list(await asyncio.gather(*asked))

    async def _postgres(self, conninfo: str) -> StoreReport:
        store, measured = await asyncio.gather(postgres_store(conninfo), self._pipeline.measured())
        facts = measured.kafka_facts
        return store.report(facts.callbacks_per_day if facts else None)


@contextlib.asynccontextmanager
async def measuring(parts: Parts) -> AsyncIterator[Measurement]:
    """Yield what measures `parts`."""
    valkey = connect(Secret(parts.valkey)) if parts.valkey else None
    watched = Watched(
        ingress=parts.ingress,
        consumers=parts.consumers,
        gateway=parts.gateway,
        statistics=parts.statistics,
        valkey=valkey,
        kafka=parts.kafka,
    )
    try:
        async with watched_pipeline(watched) as pipeline:
            yield Measurement(parts, pipeline, valkey)
    finally:
        if valkey is not None:
            await valkey.aclose()
