"""A SQLite or PostgreSQL database for the tests of `sql_sink`, whose effect notes offsets."""

import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from typing import Any

from consumers.runtime import Batch, Handler, sql_sink

SEEN = "create table if not exists seen (record bigint not null check (record <> 13))"
Open = Callable[[], Any]


def see(cursor: Any, batch: Batch) -> None:
    """Insert the offsets of the batch's records: the effect of the sink."""
    for record in batch.records:
        cursor.execute(f"insert into seen values ({record.offset:d})")  # noqa: S608 - a number


class SqlDatabase:
    """A database, its driver, and the function that connects to it."""

    def __init__(self, driver: Any, connect: Callable[..., Any], opened: AsyncExitStack) -> None:
        self.driver = driver
        self.connect = connect
        self._opened = opened

    async def member(
        self,
        apply: Callable[[Any, Batch], None] = see,
        connect: Open | None = None,
        tables: list[str] | None = None,
        name: str = "seen",
    ) -> Handler:
        """Return a new handler of the consumer `name` that writes to the database."""
        made = sql_sink(name, self.driver, connect or self.connect, apply, tables=tables or [SEEN])
        handler, _ = await self._opened.enter_async_context(made)
        return handler

    def run(self, *statements: str) -> None:
        """Execute statements as the owner of the database."""
        with closing(self.connect()) as connection:
            for statement in statements:
                connection.cursor().execute(statement)
            connection.commit()

    def impatient(self) -> Any:
        """Return a connection that does not wait for locks."""
        if self.driver is sqlite3:
            return self.connect(timeout=0)
        return self.connect(options="-c lock_timeout=1")

    def seen(self) -> list[int]:
        """Return the offsets that the database has."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("select record from seen order by record")
            return [record for (record,) in cursor.fetchall()]
