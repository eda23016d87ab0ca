"""
Sync callbacks to PostgreSQL. The database's own position is the authority on where to go on.

A database that was put back to an older state is followed: its position went back with its rows.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

from consumers.runtime.batch import Limits
from consumers.runtime.handler import Consumer, Handler
from consumers.sync.database import Database
from schemas.settings import Secret, read
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """SYNC_*: which database, and how many callbacks go into one statement."""

    postgres: Secret
    batch_records_max: int = 1000
    batch_bytes_max: int = 4 << 20
    batch_age_s: float = 0.25

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        try:
            conninfo_to_dict(self.postgres)
        except psycopg.ProgrammingError:
            # Without the cause: it would show the password.
            yield "SYNC_POSTGRES must be like postgresql://user:password@host:5432/database"
        if not 1 <= self.batch_records_max <= 10_000:
            yield "SYNC_BATCH_RECORDS_MAX must be from 1 to 10000"
        if not 1 << 10 <= self.batch_bytes_max <= 64 << 20:
            yield "SYNC_BATCH_BYTES_MAX must be from 1024 (1 KiB) to 67108864 (64 MiB)"
        if not 0 <= self.batch_age_s <= 60:
            yield "SYNC_BATCH_AGE_S must be from 0 to 60"


@asynccontextmanager
async def _open(env: Mapping[str, str]) -> AsyncIterator[tuple[Handler, Limits]]:
    _, settings = read(SyncSettings, "SYNC_", env)
    log.info("%r", settings)
    database = Database(settings.postgres)
    try:
        yield (
            database,
            Limits(
                records=settings.batch_records_max,
                bytes=settings.batch_bytes_max,
                age_s=settings.batch_age_s,
            ),
        )
    finally:
        await database.close()


SYNC = Consumer(name="sync", topic=CALLBACKS, open=_open)
