"""
Random schedules of sync, `hookline sync expire` and damage: the audit is right after each of them.

A schedule writes callbacks of several months and two origins, with repeats and wrong clocks; goes
back and writes again; interrupts a run after any of its steps; and deletes rows and receipts by
hand. A sequence must be missing exactly if its receipt or its row was deleted by hand and has not
been written since.
"""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest
from support.builders import P0, a_stored_batch
from support.expiring import audited, in_month, opened
from support.sync_tables import select

from consumers.runtime.batch import Position, Record
from consumers.sync.database import DatabaseHandler
from ops.audit.report import POSTGRES
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.sync import expire
from schemas.callback_record import place
from schemas.setting import Secret

MONTHS = [datetime(2023, month, 1, tzinfo=UTC) for month in range(1, 7)]
RECORDS = 40
KEYS = 25
# The receipts of an id that have not expired before: a sequence that has is never required again.
MUST_STAY = """
    select origin, sequence from hookline.receipts as lost
    where ce_id = '{}' and not exists (
        select from hookline.expired_receipts as expired
        where expired.origin = lost.origin
            and lost.sequence between first_sequence and last_sequence
    )"""
Place = tuple[str, int]


class Schedule:
    """One schedule on empty tables, and the places that the audit must find missing."""

    def __init__(self, conninfo: str, database: DatabaseHandler, seed: int) -> None:
        self._conninfo = conninfo
        self._database = database
        self._random = random.Random(seed)  # noqa: S311 - a schedule
        self._records = [self._record(offset) for offset in range(RECORDS)]
        self._next = 0
        self._written = 0
        self._missing: set[Place] = set()
        self.did: Counter[str] = Counter()

    def _record(self, offset: int) -> Record:
        # Mostly in the order of time; sometimes the clock of an ingress is wrong.
        month = (
            self._random.choice(MONTHS)
            if self._random.random() < 0.15
            else (MONTHS[offset * len(MONTHS) // RECORDS])
        )
        is_message = self._random.random() < 0.7
        return in_month(
            offset,
            month + timedelta(hours=offset),
            f"key {self._random.randrange(KEYS)}",
            command="C2C.CallbackAfterSendMsg" if is_message else "State.StateChange",
            origin="ab"[offset % 2] * 16,
            sequence=offset // 2 + 1,
        )

    async def run(self) -> None:
        """Do everything in a random order, and audit after each action."""
        for _ in range(25):
            action = self._random.choice(
                (self._write, self._write, self._go_back, self._expire, self._damage)
            )
            await action()
            await self._check()
        while self._next < RECORDS:
            await self._write()
        await self._expire(whole=True)
        await self._check()
        self._check_tables()

    async def _write(self) -> None:
        some = self._records[self._next : self._next + self._random.randint(1, 5)]
        if not some:
            return
        await self._database.handle(a_stored_batch(*some))
        self._next += len(some)
        self._written = max(self._written, self._next)
        ids = {ce_id(each) for each in some}
        for record in some:
            self._missing.discard(place(record.headers))
        # A row that was deleted by hand is there again, so all receipts of it count again.
        again = [place(each.headers) for each in self._records if ce_id(each) in ids]
        present = set(select(self._conninfo, "select origin, sequence from hookline.receipts"))
        self._missing -= set(again) & present
        self.did["written"] += len(some)

    async def _go_back(self) -> None:
        if self._random.random() < 0.7 or not self._next:
            return
        self._next = self._random.randrange(self._next)
        self.did["went back"] += 1
        self._execute(f"update hookline.positions set next_offset = {self._next}")  # noqa: S608

    async def _expire(self, *, whole: bool = False) -> None:
        before = MONTHS[-1] if whole else self._random.choice(MONTHS)
        async with (
            opened(self._conninfo) as connection,
            aclosing(expire.expire(connection, before)) as steps,
        ):
            async for step in steps:
                self.did[f"deleted {step.table}"] += step.deleted
                await self._check()
                if whole:
                    continue
                if self._random.random() < 0.3:
                    await self._write()
                    await self._check()
                if self._random.random() < 0.05:
                    self.did["interrupted"] += 1
                    return

    async def _damage(self) -> None:
        if self._random.random() < 0.6:
            return
        kind = self._random.choice(("receipts", "messages", "events"))
        deletable = select(
            self._conninfo,
            f"select ce_id from hookline.{kind} except table hookline.expiring_ids order by 1",  # noqa: S608 - constants
        )
        if not deletable:
            return
        (chosen,) = self._random.choice(deletable)
        lost = select(self._conninfo, MUST_STAY.format(chosen))
        self._execute(f"delete from hookline.{kind} where ce_id = '{chosen}'")  # noqa: S608 - constants
        self._missing |= set(lost)
        self.did["damaged"] += 1

    async def _check(self) -> None:
        written = self._records[: self._written]
        if not written:
            return
        report = await audited(self._conninfo, written)
        missing = {
            (origin.origin, sequence)
            for origin in report.origins
            for sequence in origin.sinks[POSTGRES].missing_listed
        }
        assert missing == self._missing
        assert report.missing_at_least == len(self._missing)
        self.did["audits"] += 1

    def _check_tables(self) -> None:
        """Check that everything old is gone, and that ranges that follow each other are one."""
        assert select(self._conninfo, "table hookline.expiring_ids") == []
        for table in expire.TABLES:
            old = f"select from hookline.{table} where received_at < '{MONTHS[-1]}'"
            assert select(self._conninfo, old) == []
        ranges = select(self._conninfo, "table hookline.expired_receipts order by 1, 2")
        for (origin, _, last), (next_origin, first, _) in pairwise(ranges):
            assert origin != next_origin or first > last + 1

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._conninfo) as connection:
            connection.execute(statement.encode())


def ce_id(record: Record) -> str:
    """Return the id of a record's callback."""
    return dict(record.headers)["ce_id"].decode()


@pytest.mark.timeout(900)
async def test_the_audit_is_right_after_every_action(
    server_of_version: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """No false alarm and no false proof, whatever was interrupted, repeated or deleted."""
    monkeypatch.setattr(expire, "ROWS_PER_STEP", 3)
    monkeypatch.setattr(expire, "RECEIPTS_PER_STEP", 7)
    monkeypatch.setattr("ops.audit.proof.LISTED_MAX", RECORDS)
    conninfo = server_of_version.conninfo
    did: Counter[str] = Counter()
    seeds = scaled(3, at_most=200, in_long_runs=120)
    for seed in range(seeds):
        with psycopg.connect(conninfo) as connection:
            connection.execute("drop schema if exists hookline cascade")
        async with AsyncExitStack() as opened_now:
            database = DatabaseHandler(Secret(conninfo))
            opened_now.push_async_callback(database.close)
            await database.store_first_position(P0, Position(0))
            schedule = Schedule(conninfo, database, seed)
            try:
                await schedule.run()
            except AssertionError as error:
                error.add_note(f"seed {seed}")
                raise
            did += schedule.did
    assert min(did.values()) > 0
    say(f"{seeds} schedules: {dict(sorted(did.items()))}")
