"""
Sync callbacks to PostgreSQL. The database's own position is the authority on where to go on.

A database that was put back to an older state is followed: its position went back with its rows.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

from consumers.runtime.batch import Limits
from consumers.runtime.handler import Consumer, Handler
from consumers.sync.database import Database
from schemas.settings import Secret
from schemas.topics import CALLBACKS

LIMITS = Limits(records=1000, bytes=4 << 20, age_s=0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """SYNC_*: which database."""

    postgres: Secret

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        try:
            conninfo_to_dict(self.postgres)
        except psycopg.ProgrammingError:
            # Without the cause: it would show the password.
            yield "SYNC_POSTGRES must be like postgresql://user:password@host:5432/database"


@asynccontextmanager
async def _open(settings: SyncSettings) -> AsyncIterator[tuple[Handler, Limits]]:
    database = Database(settings.postgres)
    try:
        yield database, LIMITS
    finally:
        await database.close()


SYNC = Consumer(name="sync", topic=CALLBACKS, settings=SyncSettings, open=_open)
