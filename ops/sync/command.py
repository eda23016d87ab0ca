"""`hookline sync`: its subcommand `expire`, with its options and its output."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta

import click
import psycopg
from psycopg import AsyncConnection

from consumers.sync.connection import failure_text
from ops.age import Age
from ops.failure import Failure
from ops.nouns import counted
from ops.options import json_option, postgres_option
from ops.sync import expire
from ops.sync.plan import ExpiryPlan, StoredMonth, plan
from ops.sync.session import prepare
from ops.terminal import echo, measured_progress, print_json, run, say, waiting

CONNECT_TIMEOUT_S = 10
APPLICATION = "hookline-sync-expire"
# With it, the current month and the one before it always stay.
AGE = Age(31, "so that the months that sync writes stay")


class NotAnswered(Failure):
    """The database failed before everything was deleted; the text says what to do."""


@click.group()
def sync() -> None:
    """Delete the months that the database need not keep."""


@sync.command("expire", short_help="Delete callbacks of old months from PostgreSQL.")
@postgres_option("PostgreSQL connection string, as given to the sync consumer.", required=True)
@click.option(
    "--older-than",
    "age",
    type=AGE,
    required=True,
    help="Minimum age in days or hours, such as 180d.",
)
@click.option(
    "--delete", "deletes", is_flag=True, help="Delete the rows. Without it, only list the months."
)
@json_option
def sync_expire(*, postgres: str, age: timedelta, deletes: bool, as_json: bool) -> None:
    """
    Delete callbacks of old months (UTC) from PostgreSQL, by the time received.

    Lists the months that are older as a whole, and with --delete deletes their messages and events,
    and the receipts of these. Sync goes on meanwhile. `hookline audit` reports what was deleted as
    expired, not as missing. A run that was interrupted continues when it is started again.
    """
    run(_expire(postgres, age, deletes=deletes, as_json=as_json))


async def _expire(postgres: str, age: timedelta, *, deletes: bool, as_json: bool) -> None:
    try:
        async with await AsyncConnection.connect(
            postgres,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=APPLICATION,
            # A connection pooler may send each statement to another server process.
            prepare_threshold=None,
        ) as connection:
            await prepare(connection)
            with waiting("counting the rows of each month"):
                planned = await plan(connection, age)
            _print(planned, as_json=as_json)
            if not deletes:
                say(f"would be deleted with --delete: {_totals(planned)}")
            elif planned.going or planned.interrupted:
                say(f"deleted: {await _delete(connection, planned)}")
            else:
                say("nothing to delete")
    except psycopg.Error as error:
        raise NotAnswered(
            f"{failure_text(error)}. Everything that was deleted is noted; run the "
            "command again, it continues"
        ) from error


def _print(planned: ExpiryPlan, *, as_json: bool) -> None:
    for month in planned.going:
        if as_json:
            print_json({"month": month.name, "messages": month.messages, "events": month.events})
        else:
            echo(f"{month.name}  {_rows([month])}")
    if planned.staying:
        first, last = planned.staying[0].name, planned.staying[-1].name
        months = first if first == last else f"{first} to {last}"
        say(f"{months} stay: {_rows(planned.staying)}")
    if planned.interrupted:
        say("an earlier run was interrupted; it continues with --delete")


def _rows(months: Sequence[StoredMonth]) -> str:
    return (
        f"{sum(each.messages for each in months)} messages, "
        f"{sum(each.events for each in months)} events"
    )


def _totals(planned: ExpiryPlan) -> str:
    return (
        f"{counted(len(planned.going), 'month')}, {_rows(planned.going)}, "
        f"about {counted(planned.bytes, 'byte')}, and their receipts"
    )


async def _delete(connection: AsyncConnection, planned: ExpiryPlan) -> str:
    deleted = dict.fromkeys((*expire.TABLES, "receipts"), 0)
    total = sum(month.messages + month.events for month in planned.going) + planned.receipts
    with measured_progress("rows and receipts", total) as advance:
        async with aclosing(expire.expire(connection, planned.before)) as steps:
            async for step in steps:
                if step.table == expire.TRANSACTIONS:
                    say(
                        "waiting for a transaction that began before the rows were deleted; "
                        "pg_stat_activity shows it: backend_xid, xact_start, query"
                    )
                if step.table in deleted:
                    deleted[step.table] += step.deleted
                    advance(step.read)
    return ", ".join(f"{count} {table}" for table, count in deleted.items())
