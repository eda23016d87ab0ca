"""Make the tables of a SQL sink while other members make the same ones."""

from collections.abc import Sequence

from consumers.runtime.sql_connection import SqlConnection
from consumers.runtime.sql_failure import already_exists


def make_tables(
    connection: SqlConnection, tables: Sequence[str], driver_error: type[Exception]
) -> None:
    """
    Execute the statements `tables` in one transaction.

    PostgreSQL may refuse `create table if not exists` because another member has just made the
    table. The next try finds it, so there is one try more than there are tables.

    Raises:
        driver_error: the database refuses a statement; nothing was made.
    """
    for tries_left in reversed(range(len(tables) + 1)):
        try:
            cursor = connection.cursor()
            for table in tables:
                cursor.execute(table)
            connection.commit()
        except driver_error as error:
            if not (tries_left and already_exists(error)):
                raise
            connection.rollback()
        else:
            return
