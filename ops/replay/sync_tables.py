"""Read what the database of sync has, and the positions of replays in it."""

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection

from consumers.runtime.batch import Partition, Position, Record
from consumers.runtime.handler import Unavailable
from consumers.sync.connection import failure_text, first_line
from consumers.sync.queryable import column_text
from ops.records.header_texts import header_texts
from ops.replay.target import RecordState
from ops.sync.writing import CONNECT_TIMEOUT_S, DatabaseNotWritten
from schemas.callback_record import place
from schemas.outgoing_record import ID
from schemas.topics import CALLBACKS

# For each callback by its number in the arrays: whether it was deleted as expired. Only of those
# that lack their receipt or their row.
_LACKING = """
    with new as (
        select * from unnest(%s::text[], %s::bigint[], %s::text[])
            with ordinality as new (origin, sequence, ce_id, number)
    ), lacking as (
        select * from new
        where not exists (
            select from hookline.receipts as r
            where r.origin = new.origin and r.sequence = new.sequence
        ) or not (
            exists (select from hookline.messages as m where m.ce_id = new.ce_id)
            or exists (select from hookline.events as e where e.ce_id = new.ce_id)
        )
    )
    select number, exists (
        select from hookline.expired_receipts as x
        where x.origin = lacking.origin
            and lacking.sequence between x.first_sequence and x.last_sequence
    )
    from lacking"""

# The server is away, restarts, has no memory or disk space, or is read-only for now.
_MAY_PASS = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class SyncTables:
    """The tables in one database. Connects when it is asked, and again after a failure."""

    def __init__(self, postgres: str) -> None:
        self._postgres = postgres
        self._connection: AsyncConnection | None = None

    async def positions(self, topic: str) -> Mapping[int, Position]:
        """
        Return the positions of a topic, or of a replay, by partition.

        Raises:
            DatabaseNotWritten: there are no tables of this release, or a right is missing.
            Unavailable: the database does not answer.
        """
        rows = await self._rows(
            "select partition, next_offset, topic_id from hookline.positions where topic = %s",
            (topic,),
        )
        return {
            number: Position(next_offset, None, topic_id) for number, next_offset, topic_id in rows
        }

    async def drop_positions(self, topic: str) -> None:
        """
        Delete the positions of a replay.

        Raises:
            Unavailable: the database does not answer.
        """
        await self._rows(
            "delete from hookline.positions where topic = %s returning partition", (topic,)
        )

    async def lacking(self, records: Sequence[Record]) -> Mapping[int, RecordState]:
        """
        Return the state of the records that the database lacks, by their index.

        Raises:
            DatabaseNotWritten: a right is missing.
            Unavailable: the database does not answer.
        """
        if not records:
            return {}
        places = [place(each.headers) for each in records]
        ids = [column_text(header_texts(each.headers).get(ID, "")) for each in records]
        columns = [column_text(origin) for origin, _ in places], [at for _, at in places], ids
        return {
            number - 1: RecordState.EXPIRED if is_expired else RecordState.LACKING
            for number, is_expired in await self._rows(_LACKING, columns)
        }

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection:
            await self._connection.close()
            self._connection = None

    async def _rows(self, query: LiteralString, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            if self._connection is None:
                self._connection = await _connect(self._postgres)
            return await (await self._connection.execute(query, values)).fetchall()
        except psycopg.Error as error:
            await self.aclose()
            check_may_wait(error)
            raise Unavailable(failure_text(error)) from error


def check_may_wait(error: BaseException | None) -> None:
    """
    Check that a failure of the database may pass by itself.

    Raises:
        DatabaseNotWritten: it stays until a person does something: a right or a table is missing.
    """
    if isinstance(error, psycopg.Error) and not isinstance(error, _MAY_PASS):
        raise DatabaseNotWritten(
            f"PostgreSQL refuses a statement: {first_line(error)}. The role of --postgres needs"
            " the rights that the role of sync has on the tables of the schema hookline; then run"
            " the command again, it continues"
        ) from error


async def _connect(postgres: str) -> AsyncConnection:
    connection = await AsyncConnection.connect(
        postgres,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="hookline-replay",
        autocommit=True,
        prepare_threshold=None,
        client_encoding="utf8",
    )
    try:
        await _check_release(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _check_release(connection: AsyncConnection) -> None:
    # That there are tables of sync was checked when the database was opened for writing.
    cursor = await connection.execute("select to_regclass('hookline.expired_receipts') is not null")
    if await cursor.fetchone() != (True,):
        raise DatabaseNotWritten(
            "the tables of sync are those of an earlier release; start sync of this release first,"
            " which migrates them"
        )


def passed_in(
    positions: Mapping[int, Position], partition: Partition, topic_id: str | None
) -> int | None:
    """
    Return the offset before which sync has read the records of a partition.

    None if they are of an earlier topic with this name, of which sync reads nothing more.

    Raises:
        DatabaseNotWritten: sync has no position there.
    """
    position = positions.get(partition.number)
    if position is None:
        raise DatabaseNotWritten(
            f"the database has no position of sync in {CALLBACKS.name}/{partition.number}: it is"
            " not the database of this sync, or sync has not begun there. Check --postgres"
        )
    return position.next_offset if position.may_continue_in(topic_id) else None
