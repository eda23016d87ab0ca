"""
Write callbacks to PostgreSQL. The position in the database is the authority: sync continues there.

If the database was restored to an older state, its position went back with its rows, and sync
writes the missing rows again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from consumers.runtime.batch import Limits
from consumers.runtime.handler import Consumer, Handler
from consumers.sync.connection import is_conninfo
from consumers.sync.database import DatabaseHandler
from consumers.sync.maintenance import maintain_until_stopped
from schemas.setting import Format, Secret
from schemas.settings import Settings
from schemas.topics import CALLBACKS

# An ingress commits a transaction each 0.1 to 0.25 s, and the age is checked after each fetch: a
# batch is delivered some 0.2 s after its first record was fetched. More batches would cost more
# CPU.
LIMITS = Limits(records=1000, bytes=2 << 20, age_s=0.15)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings(Settings):
    """
    SYNC_*: the consumer `sync`, `python -m consumers sync`.

    A batch of up to 1000 callbacks, 2 MiB of memory or 0.15 s is one SQL statement. The server
    cancels it after 7 s; a batch of more than one callback is then tried again in halves.
    """

    postgres: Annotated[
        Secret,
        Format(
            "a connection string like postgresql://user:password@host:5432/database", is_conninfo
        ),
        "libpq connection string of the database. The consumer creates its tables in the schema "
        "`hookline` if they are absent, and migrates those of an earlier version, for which the "
        "user needs the right; it refuses tables that only a later release may write. Each "
        "partition has a connection, named `hookline-sync`: 6 in the whole group; each process has "
        "one more at times, named `hookline-sync-maintenance`. Logs show `***`. `hookline audit` "
        "reads this variable, too.",
    ]


@asynccontextmanager
async def _open(settings: SyncSettings) -> AsyncIterator[tuple[Handler, Limits]]:
    database = DatabaseHandler(settings.postgres)
    maintenance = asyncio.create_task(maintain_until_stopped(settings.postgres))
    try:
        yield database, LIMITS
    finally:
        maintenance.cancel()
        await asyncio.wait((maintenance,))
        await database.close()


SYNC = Consumer(name="sync", topic=CALLBACKS, settings=SyncSettings, open=_open)
