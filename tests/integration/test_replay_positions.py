"""The positions of an interrupted replay to the database of sync."""

import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from support.builders import P0, a_body, a_stored_record
from support.sync_tables import receipts

from consumers.runtime.batch import Partition, Position, Record
from consumers.sync.database import DatabaseHandler
from ops.replay.replay import RECORDS_MAX, positions_to_continue
from ops.replay.source import Part
from ops.replay.target import OFFSETS_UNSAVED_MAX, ReplayCounts
from ops.replay.to_sync import ToSync, replaying_to_sync
from ops.sync.writing import DatabaseNotWritten
from schemas.setting import Secret

RULE = "alter table hookline.messages add constraint no_user3 check (sender <> 'user3')"
NO_RULE = "alter table hookline.messages drop constraint no_user3"
NAME = "0123456789abcdef"


@pytest.fixture
async def database(conninfo: str) -> str:
    """Return a database with the tables of sync, which has passed all records of the tests."""
    async with contextlib.aclosing(_Closing(conninfo)) as handler:
        assert await handler.position(P0) is None
        await handler.store_first_position(P0, Position(1_000_000, None, "an id"))
    return conninfo


class _Closing(DatabaseHandler):
    def __init__(self, conninfo: str) -> None:
        super().__init__(Secret(conninfo))

    async def aclose(self) -> None:
        await self.close()


def records(start: int, end: int) -> list[Record]:
    """Return records of which those with an offset of 3, 13, 23, … are of user3."""
    return [
        a_stored_record(n, a_body(MsgKey=f"key-{n}", From_Account=f"user{n % 10}"))
        for n in range(start, end)
    ]


def a_part(part: Sequence[Record], next_offset: int, topic_id: str | None = "an id") -> Part:
    """Return a part of the partition."""
    return Part(P0, part, next_offset, topic_id, 1)


@asynccontextmanager
async def replaying(conninfo: str) -> AsyncIterator[ToSync]:
    """Yield a run of the replay."""
    async with replaying_to_sync(conninfo, NAME) as target:
        yield target


def change(conninfo: str, statement: str) -> None:
    """Have the owner of the database change it."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement.encode())


async def test_what_was_rejected_is_tried_again_by_the_next_run(database: str) -> None:
    """A run that ends after rejections continues before the first one of the partition."""
    change(database, RULE)
    async with replaying(database) as target:
        assert await target.positions() == {}
        assert await target.write(a_part(records(0, 3), 3)) == ReplayCounts(written=3)
        assert await target.write(a_part(records(3, 20), 20)) == ReplayCounts(
            written=15, rejected=2
        )
        assert (await target.write(a_part(records(20, 23), 23))).written == 3
        far = 23 + OFFSETS_UNSAVED_MAX
        assert await target.write(a_part([], far)) == ReplayCounts()
    assert receipts(database) == 21
    async with replaying(database) as target:
        assert await target.positions() == {P0: Position(3, None, "an id")}
        assert (await target.write(a_part(records(3, 4), 4))).rejected == 1
        assert await target.positions() == {P0: Position(3, None, "an id")}
    change(database, NO_RULE)
    async with replaying(database) as target:
        assert await target.positions() == {P0: Position(3, None, "an id")}
        assert await target.write(a_part(records(3, 23), 23)) == ReplayCounts(
            written=2, unchanged=18
        )
        assert await target.positions() == {P0: Position(23, None, "an id")}
    assert receipts(database) == 23


async def test_a_first_part_that_is_rejected_leaves_no_position(database: str) -> None:
    """So the next run begins at the beginning of the range."""
    change(database, RULE)
    rejected = [each for each in records(0, 10 * RECORDS_MAX) if each.offset % 10 == 3][:100]
    async with replaying(database) as target:
        assert await target.write(a_part(rejected, 1000)) == ReplayCounts(rejected=100)
    async with replaying(database) as target:
        assert await target.positions() == {P0: Position(0, None, "an id")}


async def test_a_topic_that_was_created_again_is_replayed_from_its_beginning(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The position of the interrupted replay is of other records, even if they had no offset."""
    async with replaying(database) as target:
        await target.write(a_part(records(0, 20), 20))
    async with replaying(database) as target:
        assert await positions_to_continue(OneTopic("an id"), target) == {P0: 20}
        assert await positions_to_continue(OneTopic(None), target) == {P0: 20}
        assert await positions_to_continue(OneTopic("new"), target) is None
        assert "an interrupted replay in partition 0 is of another topic, with the id an id" in (
            capsys.readouterr().err
        )
        await target.finish()
        assert await positions_to_continue(OneTopic("new"), target) == {}
        assert (await target.write(a_part(records(100, 103), 103, "new"))).written == 3


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """Yield the name of a role that may read and write all tables of sync."""
    name = f"role_{secrets.token_hex(4)}"
    change(database, f"create role {name} login")
    change(database, f"grant usage on schema hookline to {name}")
    change(database, f"grant select, insert, update on all tables in schema hookline to {name}")
    yield name
    change(database, f"drop owned by {name}")
    change(database, f"drop role {name}")


@pytest.mark.parametrize(
    "right", ["select on hookline.expired_receipts", "insert on hookline.receipts"]
)
async def test_a_role_without_a_right_does_not_make_a_replay_wait(
    database: str, role: str, right: str
) -> None:
    """The error names the table; with the right, the replay continues."""
    as_role = database.replace("hookline@", f"{role}@")
    change(database, f"revoke {right} from {role}")
    with pytest.raises(
        DatabaseNotWritten, match=f"denied for table {right.split('.')[1]}.* rights"
    ):
        async with replaying(as_role) as target:
            await target.write(a_part(records(0, 3), 3))
    change(database, f"grant {right} to {role}")
    async with replaying(as_role) as target:
        assert (await target.write(a_part(records(0, 3), 3))).written == 3


class OneTopic:
    """A source without records."""

    def __init__(self, topic_id: str | None) -> None:
        self.notes: list[str] = []
        self._topic_id = topic_id

    async def topic_id(self, _: Partition) -> str | None:
        """Return the id."""
        return self._topic_id

    async def size(self, _: Mapping[Partition, int]) -> int:
        """Return that there are no records."""
        return 0

    async def parts(self, _: Mapping[Partition, int]) -> AsyncGenerator[Part]:
        """Yield nothing."""
        none: Sequence[Part] = ()
        for part in none:
            yield part
