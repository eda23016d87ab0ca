"""The rows in PostgreSQL after a batch: messages once, all receipts; a bad row blocks nothing."""

import asyncio
import json
import os
import secrets
import signal
import time
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from support.builders import P0, P1, SAMPLES, a_body, a_stored_batch, a_stored_record
from support.docs_blocks import the_block
from support.kafka.tcp_proxy import tcp_proxy
from support.processes.ingress import until
from support.sync_tables import select

from consumers.runtime.batch import Position
from consumers.runtime.handler import PositionDiffers, Rejected, Stopped, Unavailable
from consumers.sync.database import DatabaseHandler
from consumers.sync.tables import VERSION
from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.additions import additions_of
from schemas.figures import ACTIVE, GROUP_MESSAGES, ONE_TO_ONE_MESSAGES
from schemas.payload import GroupMessage
from schemas.setting import Secret


async def test_a_repeat_is_one_message_and_two_receipts(
    database: DatabaseHandler, conninfo: str
) -> None:
    """The repeat may be in the same batch or in a later one."""
    same = [a_stored_record(offset, a_body(MsgKey="the same")) for offset in range(3)]
    await database.handle(a_stored_batch(*same[:2]))
    await database.handle(a_stored_batch(same[2]))
    assert select(conninfo, "select count(*) from hookline.messages") == [(1,)]
    assert select(conninfo, "select sequence from hookline.receipts order by 1") == [
        (1,),
        (2,),
        (3,),
    ]


async def test_the_documented_query_counts_messages_like_the_counters(
    database: DatabaseHandler, conninfo: str
) -> None:
    """It excludes online-only messages; robots, administrator and the REST API are not people."""
    bodies = [
        (a_body(From_Account="a", To_Account="b"), "iOS"),
        (a_body(From_Account="a", To_Account="c", SendMsgResult=20006), "iOS"),
        (a_body(From_Account="hint", To_Account="d", OnlineOnlyFlag=1), "iOS"),
        (a_body(From_Account="administrator", To_Account="e"), ""),
        (a_body(From_Account="rest", To_Account="f"), "RestApi"),
        (a_body(From_Account="@RBT#1", To_Account="@RBT#2"), "iOS"),
        (a_body(CallbackCommand=GroupMessage.COMMAND, From_Account="g", To_Account=None), "Web"),
        (
            a_body(
                CallbackCommand=GroupMessage.COMMAND,
                From_Account="news",
                To_Account=None,
                Operator_Account="administrator",
            ),
            "",
        ),
        (a_body(CallbackCommand="C2C.CallbackAfterMsgReport", From_Account="reader"), "iOS"),
    ]
    records = [
        a_stored_record(at, body, opt_platform=platform)
        for at, (body, platform) in enumerate(bodies)
    ]
    await database.handle(a_stored_batch(*records))
    ((_, *counts),) = select(conninfo, the_block("date_trunc('day', received_at", "sql"))
    statistics = [
        additions_of(json.loads(body)["CallbackCommand"], platform, json.loads(body))
        for body, platform in bodies
    ]
    messages = [
        each
        for each in statistics
        if each.sums.numbers.keys() & {ONE_TO_ONE_MESSAGES, GROUP_MESSAGES}
    ]
    people = {account for each in messages for account in each.members_in(ACTIVE)}
    assert counts == [len(messages), len(people)] == [7, 6]


async def test_every_body_is_stored(database: DatabaseHandler, conninfo: str) -> None:
    """The samples, deep nesting, huge numbers, doubled keys, NUL and lone surrogates."""
    odd = [
        a_body(MsgKey="odd", Text="nul \0 and \ud800"),
        b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","A":1,"A":2,"n":1e999}',
        b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","d":' + b"[" * 900 + b"]" * 900 + b"}",
        a_body(From_Account="a\0b", MsgSeq="x", MsgTime=10**17, MsgKey=7),
    ]
    bodies = [sample.read_bytes() for sample in SAMPLES] + odd
    records = [a_stored_record(offset, body) for offset, body in enumerate(bodies)]
    await database.handle(a_stored_batch(*records))
    columns = "body_sha256, body::text, altered, raw"
    stored = select(
        conninfo,
        f"select {columns} from hookline.messages union all"  # noqa: S608 - a constant
        f" select {columns} from hookline.events",
    )
    assert len(stored) == len(bodies)
    by_digest = {digest: rest for digest, *rest in stored}
    for body in bodies:
        document, altered, raw = by_digest[sha256(body).digest()]
        if altered:
            assert raw == body
        else:
            assert raw is None
            assert json.loads(str(document)) == json.loads(body)


TIMES: dict[object, str | None] = {
    1557481126: "2019-05-10 09:38:46+00",
    "1557481126": "2019-05-10 09:38:46+00",
    -62135596800: "0001-01-01 00:00:00+00",
    253402300799: "9999-12-31 23:59:59+00",
    -1: "1969-12-31 23:59:59+00",
    **dict.fromkeys((253402300800, -62135596801, 10**17, -(10**17), 10**18, 2**63, 10**300)),
    **dict.fromkeys((1557481126.5, 1e15, -1e308, "1e9", "", "x", "٣", "-", True, None)),
}
NUMBERS: dict[object, int | None] = {
    10**18 - 1: 10**18 - 1,
    -(10**18) + 1: -(10**18) + 1,
    "-7": -7,
    **dict.fromkeys((10**18, 2**63, 2**64, 10**400, 1.5, 1e30, "x", "1.0", "²", False, (), None)),
}


async def test_times_and_numbers_that_a_column_cannot_hold_are_null(
    database: DatabaseHandler, conninfo: str
) -> None:
    """The body has them unchanged; other rows are not affected."""
    bodies = [a_body(MsgKey=f"t{at}", MsgTime=each) for at, each in enumerate(TIMES)]
    bodies += [
        a_body(MsgKey=f"n{at}", MsgTime=None, MsgSeq=each, MsgRandom=each, SendMsgResult=each)
        for at, each in enumerate(NUMBERS)
    ]
    records = [a_stored_record(offset, body) for offset, body in enumerate(bodies)]
    await database.handle(a_stored_batch(*records))
    stored = select(
        conninfo,
        "select sent_at at time zone 'UTC', message_seq, message_random, result"
        " from hookline.messages join hookline.receipts using (ce_id) order by sequence",
    )
    times = [datetime.fromisoformat(each).replace(tzinfo=None) if each else None
             for each in TIMES.values()]  # fmt: skip
    assert [at for at, *_ in stored[: len(times)]] == times
    assert [numbers for _, *numbers in stored[len(times) :]] == [[n] * 3 for n in NUMBERS.values()]


async def test_text_that_a_column_cannot_hold_is_escaped(
    database: DatabaseHandler, conninfo: str
) -> None:
    """From the URL and from the body; a long account is replaced by its digest."""
    long = "紅" * 100_000
    digest = f"sha256:{sha256(long.encode()).hexdigest()}"
    body = a_body(From_Account="a\0\ud800", To_Account=long, GroupId="\0", MsgKey="k\0")
    record = a_stored_record(0, body, client_ip="1\0", opt_platform="\0iOS")
    await database.handle(a_stored_batch(record))
    assert select(
        conninfo,
        "select sender, recipient, group_id, message_key, client_ip, platform"
        " from hookline.messages",
    ) == [("a\\u0000\\ud800", digest, "\\u0000", "k\\u0000", "1\\u0000", "\\u0000iOS")]


async def test_a_batch_with_a_row_that_the_database_refuses_is_rejected_whole(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Here by an added constraint. The runtime finds the row by halving the batch."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("alter table hookline.messages add check (sender <> 'refused')")
    records = [a_stored_record(offset) for offset in range(5)]
    records[3] = a_stored_record(3, a_body(MsgKey="3", From_Account="refused"))
    with pytest.raises(Rejected, match="violates check constraint") as raised:
        await database.handle(a_stored_batch(*records))
    assert raised.value.offset is None
    assert select(conninfo, "select count(*) from hookline.receipts") == [(0,)]
    del records[3]
    await database.handle(a_stored_batch(*records))
    assert await next_offset_of(database) == 5


async def test_a_row_that_exceeds_a_limit_of_the_database_is_rejected(
    database: DatabaseHandler, conninfo: str
) -> None:
    """It is not an outage. Here an added index has a limit of one page."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("create index on hookline.messages (message_key)")
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 8000)))
    record = a_stored_record(0, a_body(MsgKey=text))
    with pytest.raises(Rejected, match="index row"):
        await database.handle(a_stored_batch(record))


async def test_a_database_without_utf8_stops_the_consumer(
    postgres_server: EmbeddedPostgres,
) -> None:
    """The text says how to create one with UTF8."""
    name = f"latin_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as connection:
        connection.execute(
            f"create database {name} encoding 'LATIN1' locale 'C' template template0".encode()
        )
    database = DatabaseHandler(
        Secret(f"postgresql://hookline@127.0.0.1:{postgres_server.port}/{name}")
    )
    with pytest.raises(Stopped, match="encoding 'UTF8' template template0"):
        await database.position(P0)
    await database.close()


async def test_members_that_start_together_create_the_tables_once(conninfo: str) -> None:
    """No member fails because another one created them first."""
    members = [DatabaseHandler(Secret(conninfo)) for _ in range(5)]
    await asyncio.gather(
        *(member.store_first_position(P0, Position(at)) for at, member in enumerate(members))
    )
    positions = {await member.position(P0) for member in members}
    assert len(positions) == 1
    for member in members:
        await member.close()


async def test_calls_for_one_partition_share_a_connection(conninfo: str) -> None:
    """Calls that begin while it connects share it, too."""
    database = DatabaseHandler(Secret(conninfo))
    await asyncio.gather(*(database.position(P0) for _ in range(5)))
    backends = "select count(*) from pg_stat_activity where application_name = 'hookline-sync'"
    assert select(conninfo, f"{backends} and datname = current_database()") == [(1,)]
    await database.close()


@pytest.mark.parametrize(
    ("made_by_another", "says"),
    [
        ("update hookline.schema_version set version = 7", "need a program of version 7 or later"),
        (
            "delete from hookline.schema_version",
            "have the versions none in hookline.schema_version",
        ),
        ("insert into hookline.schema_version values (2)", "have the versions 1, 2 in hookline"),
        ("drop table hookline.schema_version", "are from before they had a version"),
    ],
)
async def test_tables_of_another_version_stop_the_consumer(
    database: DatabaseHandler, conninfo: str, made_by_another: str, says: str
) -> None:
    """Nothing is changed; the text has both versions and says what to do."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(made_by_another.encode())
    await database.close()
    for call in (database.position(P0), database.handle(a_stored_batch(a_stored_record(0)))):
        with pytest.raises(Stopped, match=says) as raised:
            await call
        assert "CONSUMER_REBUILD=true" in str(raised.value)
    assert select(conninfo, "select count(*) from hookline.receipts") == [(0,)]
    await database.close()


async def test_a_later_release_that_migrates_the_tables_stops_a_running_member(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Its connections stay open, but each statement compares the version: nothing is written."""
    await database.handle(a_stored_batch(a_stored_record(0)))
    with psycopg.connect(conninfo) as connection:
        connection.execute("update hookline.schema_version set version = %s", (VERSION + 1,))
    with pytest.raises(Stopped, match=f"need a program of version {VERSION + 1} or later"):
        await database.handle(a_stored_batch(a_stored_record(1)))
    assert select(conninfo, "select sequence from hookline.receipts") == [(1,)]
    await database.close()


async def test_tables_from_before_there_were_versions_stop_the_consumer(
    conninfo: str,
) -> None:
    """As an earlier commit created them; also if only one of its tables exists."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("create schema hookline")
        connection.execute("create table hookline.messages (ce_id text primary key, body json)")
    database = DatabaseHandler(Secret(conninfo))
    with pytest.raises(Stopped, match="are from before they had a version"):
        await database.store_first_position(P0, Position(0))
    await database.close()


async def test_a_schema_that_was_created_for_sync_is_used(conninfo: str) -> None:
    """The consumer's user then needs no right to create a schema."""
    with psycopg.connect(conninfo) as connection:
        name = f"role_{secrets.token_hex(4)}"
        connection.execute(f"create role {name} login".encode())
        connection.execute(f"create schema hookline authorization {name}".encode())
    database = DatabaseHandler(Secret(conninfo.replace("hookline@", f"{name}@")))
    await database.store_first_position(P0, Position(0))
    await database.handle(a_stored_batch(a_stored_record(0)))
    await database.close()


async def test_a_partition_that_hangs_while_it_connects_delays_only_itself(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other partitions write on their connections, and new ones connect."""
    for bound in ("connection.CONNECT_S", "database.ANSWER_TIMEOUT_S"):
        monkeypatch.setattr(f"consumers.sync.{bound}", 50)
    port = psycopg.conninfo.conninfo_to_dict(conninfo)["port"]
    async with tcp_proxy(int(str(port))) as proxy:
        database = DatabaseHandler(Secret(conninfo.replace(f":{port}", f":{proxy.port}")))
        await database.store_first_position(P1, Position(0))
        proxy.hang_next()
        stuck = asyncio.create_task(database.position(P0))
        await proxy.hanging.wait()
        backend = (
            "select pid from pg_stat_activity where application_name = 'hookline-sync'"
            " and datname = current_database()"
        )
        before = select(conninfo, backend)
        for offset in range(20):
            batch = a_stored_batch(a_stored_record(offset))
            await database.handle(replace(batch, partition=P1))
            assert not stuck.done()
        assert select(conninfo, backend) == before
        await database.store_first_position(P1._replace(number=2), Position(0))
        assert not stuck.done()
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert await database.position(P0) is None
        await database.close()


async def test_one_of_two_rivals_writes_a_batch(database: DatabaseHandler, conninfo: str) -> None:
    """The other waits for the row's lock, compares again and gets the new position. 50 times."""
    rival = DatabaseHandler(Secret(conninfo))
    for offset in range(50):
        batch = a_stored_batch(a_stored_record(offset))
        outcomes = await asyncio.gather(
            database.handle(batch), rival.handle(batch), return_exceptions=True
        )
        (lost,) = [outcome for outcome in outcomes if outcome is not None]
        assert isinstance(lost, PositionDiffers)
        assert lost.next_offset == offset + 1
    assert select(conninfo, "select count(*) from hookline.messages") == [(50,)]
    await rival.close()


async def test_a_database_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    """Also a hanging one: the call times out, and works again once the server continues."""
    with child.running(EmbeddedPostgres(tmp_path / "postgres")) as server:
        database = DatabaseHandler(Secret(server.conninfo))
        await database.store_first_position(P0, Position(0))
        assert server.process is not None
        backends = children(server.process.pid)
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            await database.handle(a_stored_batch(a_stored_record(0)))
        # The runtime's limit for one call, HANDLE_TIMEOUT_S.
        assert time.monotonic() - begun < 20
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
        await until_available(database)
        server.kill()

        async def says_what_to_check() -> bool:
            # A backend outlives the server for a moment, and may still answer.
            try:
                await database.position(P0)
            except Unavailable as error:
                return str(error).endswith("and SYNC_POSTGRES (of a command: --postgres)")
            return False

        await until(says_what_to_check, "the error names the setting")
        server.start()
        assert await until_available(database) in (0, 1)
        await database.close()


async def next_offset_of(database: DatabaseHandler) -> int | None:
    """Return the next offset of the stored position."""
    position = await database.position(P0)
    return position.next_offset if position else None


async def until_available(database: DatabaseHandler) -> int | None:
    """Wait until the database answers; return the next offset of the stored position."""
    async with asyncio.timeout(180):
        while True:
            try:
                return await next_offset_of(database)
            except Unavailable:
                await asyncio.sleep(0.1)


def children(pid: int) -> list[int]:
    """Return a process's children."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in listed.split()]
