"""The command `hookline sync expire`: what it prints, what it refuses, and kills by SIGKILL."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import orjson
import psycopg
import pytest
from click.testing import CliRunner, Result
from support.builders import P0, a_stored_batch
from support.expiring import in_month
from support.sync_tables import select

from consumers.runtime.batch import Position
from consumers.sync.database import DatabaseHandler
from ops.cli import main
from ops.demo.embedded.child import free_port
from schemas.setting import Secret

COUNTS = "select (select count(*) from hookline.messages), (select count(*) from hookline.receipts)"
NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=400)
# The rows of the test that kills the command: each run is killed within some of its steps.
MANY = 60_000
FILL = f"""
    insert into hookline.receipts
    select repeat('o', 16), n, md5(n::text), now() - interval '400 days'
    from generate_series(1, {MANY}::bigint) as n;
    insert into hookline.events (ce_id, sdkappid, command, received_at, body, altered, body_sha256)
    select ce_id, '1', 'x', received_at, '{{}}', false, sha256('') from hookline.receipts;
    analyze hookline.receipts, hookline.events"""  # noqa: S608 - constants


def hookline(conninfo: str, *arguments: str) -> Result:
    """Run the command, whose connection string is in the environment."""
    return CliRunner(env={"SYNC_POSTGRES": conninfo}).invoke(main, ["sync", "expire", *arguments])


@pytest.fixture
def filled(conninfo: str) -> str:
    """Return a database with three messages of an old month and two of this one."""

    async def write() -> None:
        database = DatabaseHandler(Secret(conninfo))
        await database.store_first_position(P0, Position(0))
        times = [OLD, OLD, OLD, NOW, NOW]
        await database.handle(
            a_stored_batch(*(in_month(at, time, f"{at}") for at, time in enumerate(times)))
        )
        await database.close()

    asyncio.run(write())
    return conninfo


def test_without_delete_it_only_lists(filled: str) -> None:
    """It prints the months that would go, and what stays."""
    done = hookline(filled, "--older-than", "180d")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{OLD:%Y-%m}  3 messages, 0 events\n"
    text = " ".join(done.stderr.split())
    assert "would be deleted with --delete: 1 month, 3 messages, 0 events, about" in text
    assert "bytes, and their receipts" in text
    assert f"{NOW:%Y-%m} stay: 2 messages, 0 events" in text
    assert select(filled, COUNTS) == [(5, 5)]


def test_with_delete_it_deletes_and_a_second_run_has_nothing_to_do(filled: str) -> None:
    """With --json stdout has a line for each month."""
    done = hookline(filled, "--older-than", "180d", "--delete", "--json")
    assert done.exit_code == 0, done.output
    assert orjson.loads(done.stdout) == {"month": f"{OLD:%Y-%m}", "messages": 3, "events": 0}
    assert "deleted: 3 messages, 0 events, 3 receipts" in done.stderr
    assert select(filled, COUNTS) == [(2, 2)]
    done = hookline(filled, "--older-than", "180d", "--delete")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing to delete" in done.stderr


def test_what_it_refuses(conninfo: str) -> None:
    """A young age, tables that are not there, a server that does not answer, a missing right."""
    done = hookline(conninfo, "--older-than", "30d")
    assert (done.exit_code, "at least 31d" in done.stderr) == (2, True)
    done = hookline(conninfo, "--older-than", "180d", "--delete")
    assert (done.exit_code, "start the consumer sync" in done.stderr) == (2, True)
    nowhere = f"postgresql://hookline@127.0.0.1:{free_port()}/postgres"
    done = hookline(nowhere, "--older-than", "180d")
    assert (done.exit_code, "run the command again" in done.stderr) == (2, True)


def test_a_row_that_may_not_be_deleted_is_named(filled: str) -> None:
    """An owner's foreign key refers to it; nothing of the step is deleted."""
    with psycopg.connect(filled) as connection:
        connection.execute(
            "create table notes (ce_id text references hookline.messages);"
            " insert into notes select max(ce_id) from hookline.messages where message_key = '0'"
        )
    done = hookline(filled, "--older-than", "180d", "--delete")
    assert (done.exit_code, "notes" in done.stderr) == (2, True)
    assert select(filled, COUNTS) == [(5, 5)]


@pytest.mark.timeout(600)
def test_a_run_that_is_killed_continues(filled: str) -> None:
    """Killed by SIGKILL at many moments; in the end each sequence is in one range."""
    kills = 0
    # Between two looks of a busy machine a run may get far.
    while kills <= 5:
        with psycopg.connect(filled) as connection:
            connection.execute(
                "truncate hookline.receipts, hookline.messages, hookline.expired_receipts"
            )
            connection.execute(FILL.encode())
        kills = kill_until_all_has_expired(filled, kills)
    assert hookline(filled, "--older-than", "180d", "--delete").exit_code == 0
    assert select(filled, "table hookline.expired_receipts") == [("o" * 16, 1, MANY)]


def kill_until_all_has_expired(filled: str, kills: int) -> int:
    """Kill one run after the other until nothing is left; return the number of kills so far."""
    command = [sys.executable, "-m", "ops.cli", "sync", "expire", "--older-than", "180d"]
    state = the_state(filled)
    while any(state):
        with subprocess.Popen(
            [*command, "--delete"],
            env=os.environ | {"SYNC_POSTGRES": filled},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            # Let more and more steps pass: the start of a process costs a second of CPU time.
            for _ in range(1 + kills):
                while process.poll() is None and the_state(filled) == state:
                    time.sleep(0.005)
                state = the_state(filled)
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
        state = the_state(filled)
        assert accounted_for(filled) == MANY
    return kills


def the_state(conninfo: str) -> tuple[int, ...]:
    """Return the numbers of rows, of receipts, and of ids that are expiring."""
    (counts,) = select(
        conninfo,
        "select (select count(*) from hookline.events), (select count(*) from hookline.receipts),"
        " (select count(*) from hookline.expiring_ids)",
    )
    return counts


def accounted_for(conninfo: str) -> int:
    """Return how many sequences have a receipt with its row, one that is expiring, or a range."""
    ((number,),) = select(
        conninfo,
        "select (select count(*) from hookline.receipts left join hookline.events using (ce_id)"
        " left join hookline.expiring_ids x using (ce_id)"
        " where events.ce_id is not null or x.ce_id is not null)"
        " + coalesce((select sum(last_sequence - first_sequence + 1)"
        " from hookline.expired_receipts), 0)",
    )
    return int(number)
