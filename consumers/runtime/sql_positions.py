"""Read and write the table hookline_positions: a SQL sink's positions, in its own database."""

from collections.abc import Sequence
from secrets import randbelow
from typing import Any

from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import Stopped
from consumers.runtime.sql_connection import SqlConnection, Statements

CREATE = """create table if not exists hookline_positions (
    consumer varchar(255) not null, topic varchar(255) not null, partition_number integer not null,
    next_offset bigint not null, last_offset bigint, last_origin text, last_sequence bigint,
    topic_id varchar(64), primary key (consumer, topic, partition_number))"""
_NO_ROW = "select * from hookline_positions where 1 = 0"
_COLUMNS = {
    *("consumer", "topic", "partition_number", "next_offset", "topic_id"),
    *("last_offset", "last_origin", "last_sequence"),
}
_OF_ONE = " where consumer = ? and topic = ? and partition_number = ?"
_FIND = (
    "select next_offset, topic_id, last_offset, last_origin, last_sequence from hookline_positions"
)
_STORE_FIRST = (
    "insert into hookline_positions (consumer, topic, partition_number, next_offset, topic_id)"
    " values (?, ?, ?, ?, ?)"
)
_MOVE = (
    "update hookline_positions set next_offset = ?, last_offset = ?, last_origin = ?,"
    " last_sequence = ?, topic_id = coalesce(?, topic_id)"
)
# A topic id that is not known, on either side, equals any other.
_FOLLOWS = " and next_offset = ? and coalesce(topic_id, ?, '') = coalesce(?, topic_id, '')"
_DELETE = "delete from hookline_positions"
_ANY = "select count(*) from hookline_positions where consumer = ?"
# The topic of a row that a new connection inserts and rolls back. Each connection has a row of its
# own, so that a process that is suspended meanwhile does not block the others.
_PROBE_TOPIC = "probe"


def position_in(row: Sequence[Any]) -> Position:
    """Return the position in a row of next offset, topic id, and the last record's three values."""
    next_offset, topic_id, *last = row
    return Position(next_offset, None if last[0] is None else (last[0], last[1], last[2]), topic_id)


class SqlPositions:
    """Reads and writes the positions of one consumer, by cursors of any driver of PEP 249."""

    def __init__(self, name: str, statements: Statements) -> None:
        self._name = name
        self._execute = statements.execute

    def find(self, cursor: Any, partition: Partition) -> Position | None:
        """Return the position of `partition`, None if there is none."""
        self._execute(cursor, _FIND + _OF_ONE, self._name, *partition)
        row = cursor.fetchone()
        return None if row is None else position_in(row)

    def has_any(self, cursor: Any) -> bool:
        """Return whether the consumer has a position of any partition."""
        self._execute(cursor, _ANY, self._name)
        return bool(cursor.fetchone()[0])

    def store_first(self, cursor: Any, partition: Partition, position: Position) -> None:
        """Insert the position of `partition`; the driver raises an error if there is one."""
        values = self._name, *partition, position.next_offset, position.topic_id
        self._execute(cursor, _STORE_FIRST, *values)

    def move(self, cursor: Any, batch: Batch) -> bool:
        """Move the position to `batch.reached` if the batch follows it; return whether it does."""
        next_offset, last, topic_id = batch.reached
        self._execute(
            *(cursor, _MOVE + _OF_ONE + _FOLLOWS),
            *(next_offset, *(last or (None, None, None)), topic_id),
            *(self._name, *batch.partition, batch.begins_at, topic_id, topic_id),
        )
        return bool(cursor.rowcount == 1)

    def check_columns(self, cursor: Any) -> None:
        """
        Check that the table has all columns.

        Raises:
            Stopped: another release made the table.
        """
        cursor.execute(_NO_ROW)
        columns = {column[0].lower() for column in cursor.description}
        if missing := _COLUMNS - columns:
            raise Stopped(
                f"The table hookline_positions of {self._name} was made by another release: the "
                f"columns {', '.join(sorted(missing))} are missing. No release migrates it. Start "
                "the release that made it, or drop the table and the consumer's rows, and build "
                "them from the records that Kafka still has: start the consumer once with "
                "CONSUMER_REBUILD=true"
            )

    def check_rollback(self, connection: SqlConnection) -> None:
        """
        Check that `connection` can roll back a row.

        Raises:
            Stopped: it cannot, so the effect and the position would be two writes.
        """
        probe = Partition(_PROBE_TOPIC, randbelow(1 << 31))
        cursor = connection.cursor()
        self.store_first(cursor, probe, Position(0))
        connection.rollback()
        position = self.find(cursor, probe)
        if position:
            self._execute(cursor, _DELETE + _OF_ONE, self._name, *probe)
        connection.commit()
        if position:
            raise Stopped(
                f"The connection of {self._name} commits each statement (autocommit), or its "
                "tables do not support transactions. A crash would lose or duplicate records, so "
                "nothing is written. Open the connection without autocommit."
            )
