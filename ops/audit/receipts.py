"""Read the receipts in PostgreSQL, in a thread that can be stopped if the server hangs."""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import IsolationLevel

from consumers.sync.connection import failure_text
from consumers.sync.tables import SELECT_OLDEST_WRITER, version_fault
from ops.audit.sources import AuditFailed, SourceUnavailable
from ops.audit.tally import Tally
from schemas.client_parts import mark_retrieved

CONNECT_TIMEOUT_S = 10
# The time in which the server must send the first or the next RECEIPTS_PER_FETCH.
DATABASE_TIMEOUT_S = 120.0
# The number of receipts, and of the ledger's ids, in one message to or from the server.
RECEIPTS_PER_FETCH = 10_000
_HAS_EXPIRY_TABLES = "select to_regclass('hookline.expiring_ids') is not null"
# An unfinished `hookline sync expire` has deleted the rows of `expiring_ids`, and will delete their
# receipts next.
_EXPIRED = b"""
    select origin, first_sequence, last_sequence from hookline.expired_receipts
    union all
    select origin, min(sequence), max(sequence)
    from (
        select r.origin, r.sequence,
            r.sequence - row_number() over (partition by r.origin order by r.sequence) as range
        from hookline.receipts as r
        join hookline.expiring_ids using (ce_id)
        where not exists (select from hookline.messages as row where row.ce_id = r.ce_id)
            and not exists (select from hookline.events as row where row.ce_id = r.ce_id)
    ) as numbered
    group by origin, range"""
# The highest place of each origin, by one step through the primary key for each, also of receipts
# without a row; and the last place of each partition.
_HIGHEST_PLACES = b"""
    with recursive highest as (
        (select origin, sequence from hookline.receipts order by origin desc, sequence desc limit 1)
        union all
        select below.origin, below.sequence
        from highest, lateral (
            select r.origin, r.sequence from hookline.receipts as r
            where r.origin < highest.origin
            order by r.origin desc, r.sequence desc
            limit 1
        ) as below
    )
    select origin, sequence from highest
    union all
    select last_origin, last_sequence from hookline.positions where last_origin is not null"""
_LEDGER_ROWS = b"""
    select ce_id, encode(coalesce(sha256(raw), body_sha256), 'hex')
    from (
        select ce_id, raw, body_sha256 from hookline.messages where ce_id = any(%(ids)s)
        union all
        select ce_id, raw, body_sha256 from hookline.events where ce_id = any(%(ids)s)
    ) as found"""


# With --since, the receipts of one origin from its first sequence on: for all origins at once,
# PostgreSQL would read the whole table. A repeated callback shares the row of the first one: if
# that was received before, its body is not that of any record that is read, and is not compared.
_RECEIPTS = """
    select r.origin, r.sequence, r.ce_id,
        coalesce(sha256(m.raw), m.body_sha256, sha256(e.raw), e.body_sha256)
    from hookline.receipts r left join hookline.messages m using (ce_id)
    left join hookline.events e using (ce_id)
    where m.ce_id is not null or e.ce_id is not null"""
_RECEIPTS_SINCE = """
    select r.origin, r.sequence, r.ce_id,
        case when coalesce(m.received_at, e.received_at) = r.received_at
                or coalesce(m.received_at, e.received_at) >= %(since)s
            then coalesce(sha256(m.raw), m.body_sha256, sha256(e.raw), e.body_sha256)
        end
    from hookline.receipts r left join hookline.messages m using (ce_id)
    left join hookline.events e using (ce_id)
    where r.origin = %(origin)s and r.sequence >= %(first)s
        and (m.ce_id is not null or e.ce_id is not null)"""


async def read_receipts(conninfo: str, tally: Tally) -> None:
    """
    Read the receipts that are audited, and the rows of the ledger's callbacks.

    A receipt counts only if the row of its callback exists.

    Raises:
        SourceUnavailable: the database does not answer, or has no such tables.
        AuditFailed: its tables are of another version.
    """
    reading = _Reading(conninfo, tally)
    thread = asyncio.create_task(asyncio.to_thread(reading.run))
    # A second cancellation ends the wait for the thread, which may then fail by itself.
    thread.add_done_callback(mark_retrieved)
    try:
        while not thread.done():
            await asyncio.wait((thread,), timeout=1.0)
            if time.monotonic() > reading.moved_at + DATABASE_TIMEOUT_S:
                raise SourceUnavailable(f"PostgreSQL: no data came for {DATABASE_TIMEOUT_S:g} s")
        await thread
    except psycopg.Error as error:
        raise SourceUnavailable(failure_text(error)) from error
    finally:
        if not thread.done():
            reading.interrupt()
            await asyncio.wait((thread,))


class _Reading:
    """Reads the database once, in a thread."""

    def __init__(self, conninfo: str, tally: Tally) -> None:
        self.moved_at = time.monotonic()
        self._conninfo = conninfo
        self._tally = tally
        self._socket: int | None = None

    def run(self) -> None:
        """Read everything; psycopg's errors are raised."""
        with psycopg.connect(self._conninfo, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            self._socket = connection.fileno()
            # All statements see the same state, while `hookline sync expire` moves receipts from
            # one table to another.
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            versions = connection.execute(SELECT_OLDEST_WRITER).fetchall()
            if fault := version_fault([version for (version,) in versions]):
                raise AuditFailed(f"PostgreSQL: {fault}")
            self._receipts(connection)
            for origin, sequence in connection.execute(_HIGHEST_PLACES):
                self._tally.origins.add_seen(origin, sequence)
            self._expired(connection)
            self._ledger_rows(connection)

    def _receipts(self, connection: psycopg.Connection) -> None:
        self._tally.forget_receipts()
        since = self._tally.origins.since
        if since is None:
            self._receipts_of(connection, _RECEIPTS, {})
            return
        for origin, first in self._tally.origins.first_sequences.items():
            values = {"since": since.at, "origin": origin, "first": first}
            self._receipts_of(connection, _RECEIPTS_SINCE, values)

    def _receipts_of(
        self, connection: psycopg.Connection, query: LiteralString, values: Mapping[str, Any]
    ) -> None:
        with connection.cursor(name="receipts") as receipts:
            receipts.execute(query, values)
            self.moved_at = time.monotonic()
            while rows := receipts.fetchmany(RECEIPTS_PER_FETCH):
                self.moved_at = time.monotonic()
                self._tally.add_receipts(rows)

    def _expired(self, connection: psycopg.Connection) -> None:
        if connection.execute(_HAS_EXPIRY_TABLES).fetchone() != (True,):
            return  # tables of an earlier release
        with connection.cursor(name="expired") as ranges:
            ranges.execute(_EXPIRED)
            while rows := ranges.fetchmany(RECEIPTS_PER_FETCH):
                self.moved_at = time.monotonic()
                self._tally.add_expired_receipts(rows)

    def _ledger_rows(self, connection: psycopg.Connection) -> None:
        ids = self._tally.ledger_ids_without_row
        for at in range(0, len(ids), RECEIPTS_PER_FETCH):
            self.moved_at = time.monotonic()
            rows = connection.execute(_LEDGER_ROWS, {"ids": ids[at : at + RECEIPTS_PER_FETCH]})
            for ce_id, sha256 in rows:
                self._tally.add_ledger_row(ce_id, sha256)

    def interrupt(self) -> None:
        """Close the socket, so that the thread ends with an error even if the server hangs."""
        if self._socket is not None:
            # Shut down a copy: the thread may be closing the connection's own descriptor.
            with socket.socket(fileno=os.dup(self._socket)) as copy:
                copy.shutdown(socket.SHUT_RDWR)
