"""Write to the database of sync by the handler of sync, from a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from consumers.runtime.handler import Stopped, Unavailable
from consumers.sync.connection import failure_text, first_line
from consumers.sync.database import DatabaseHandler
from ops.failure import Failure
from schemas.setting import Secret

CONNECT_TIMEOUT_S = 10
# In messages about what it has.
DATABASE = "the database of sync"


class DatabaseNotWritten(Failure):
    """The database cannot be used, or does not answer; the text says what to do."""


@asynccontextmanager
async def writing_to_sync(postgres: str) -> AsyncIterator[DatabaseHandler]:
    """
    Yield the handler of sync for a database that has its tables; turn errors into failures.

    Raises:
        DatabaseNotWritten: it does not answer, has no tables of sync, or refuses.
    """
    database = DatabaseHandler(Secret(postgres))
    try:
        await _check_tables(postgres)
        yield database
    except (Unavailable, psycopg.Error) as error:
        text = failure_text(error) if isinstance(error, psycopg.Error) else first_line(error)
        raise DatabaseNotWritten(f"{text}; run the command again, it continues") from error
    except Stopped as stopped:
        raise DatabaseNotWritten(str(stopped)) from stopped
    finally:
        await database.close()


async def _check_tables(postgres: str) -> None:
    # A sink makes its tables where there are none; a command must not.
    async with await psycopg.AsyncConnection.connect(
        postgres, connect_timeout=CONNECT_TIMEOUT_S, application_name="hookline-ops"
    ) as connection:
        cursor = await connection.execute("select to_regclass('hookline.positions') is not null")
        if await cursor.fetchone() != (True,):
            raise DatabaseNotWritten(
                "the database has no tables of sync, so it is not the one to which sync writes its"
                " callbacks. Check --postgres"
            )
