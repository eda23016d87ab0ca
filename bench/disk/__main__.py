"""
`python -m bench.disk`: measure how many bytes a callback takes in each store.

Callbacks are sent while Kafka is down, so that the spools hold all of them. Then Kafka starts, and
when the audit has proven that each sink has each callback, the stores are measured.
"""

import asyncio
import logging
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import click

from bench.command import PAGE, say, write_option
from bench.disk.stores import (
    archive_bytes,
    kafka_bytes,
    postgres_bytes,
    spooled,
    valkey_bytes,
)
from bench.machine import this_machine
from bench.markdown import table, write
from ops.audit.audit import audit
from ops.audit.ends_reader import read_ends
from ops.audit.sources import Sources
from ops.demo.services import SDKAPPIDS
from ops.demo.stack import Stack, running_stack
from ops.failure import Failure
from ops.simulate.callbacks import requests
from ops.simulate.ledger import Outcome
from ops.simulate.sender import TrafficPlan, simulate
from schemas.kafka_access import KafkaAccess

RATE = 2000.0
USERS = 500
AUDIT_WAIT_S = 600.0
# The latency of answers is not measured here.
ANSWER_S_MAX = 60.0


async def measure(count: int) -> tuple[dict[str, int], int]:
    """
    Return the bytes that some `count` callbacks take, by store, and how many they are.

    A callback whose answer is late, on a busy machine, is sent and stored again.

    Raises:
        Failure: not every callback came into every store.
    """
    async with running_stack(say) as stack:
        stack.supervisor.hold_down("kafka")
        before, valkey_before = await spooled(stack), valkey_bytes(stack)
        await send(stack, count)
        spool = await spooled(stack) - before
        stack.supervisor.let_up("kafka")
        await prove(stack)
        postgres, indexes = await asyncio.to_thread(postgres_bytes, stack)
        by_store = {
            "spool": spool["spool_bytes"],
            "Kafka": kafka_bytes(stack),
            "archive": archive_bytes(stack),
            "PostgreSQL": postgres,
            "of that, indexes": indexes,
            "Valkey (memory)": valkey_bytes(stack) - valkey_before,
        }
        return by_store, spool["last_sequence"]


async def send(stack: Stack, count: int) -> None:
    """Send callbacks."""
    say(f"sending {count:,} callbacks while Kafka is down")
    plan = TrafficPlan(
        urls=stack.addresses.ingresses,
        sdkappids=SDKAPPIDS,
        rate=RATE,
        count=count,
        users=USERS,
        answer_timeout_s=ANSWER_S_MAX,
    )
    traffic = await simulate(plan, None, lambda _: None)
    if traffic.answers[Outcome.OK] != count:
        say(f"{traffic.answers[Outcome.OK]} of {count} callbacks were answered OK in time")


async def prove(stack: Stack) -> None:
    """Return when each sink has each callback once."""
    say("Kafka is up; waiting until each sink has each callback")
    report = await audit(
        lambda: read_ends(stack.addresses.admins, None),
        Sources(
            kafka=KafkaAccess(bootstrap_servers=stack.addresses.kafka),
            archive=stack.addresses.archive,
            postgres=stack.addresses.postgres,
            stats=stack.addresses.stats,
        ),
        ledger=[],
        wait_s=AUDIT_WAIT_S,
        progress=lambda _: None,
    )
    if not report.proven:
        raise Failure(f"the audit does not prove each callback: {report}")


def markdown(by_store: Mapping[str, int], count: int) -> str:
    """Return the table of what `count` callbacks take."""
    sent = islice(requests(SDKAPPIDS, users=USERS, seed=1), count)
    body = sum(len(request.body) for request in sent) / count
    lines = [
        f"{this_machine(Path(tempfile.gettempdir()))}.",
        f"{count:,} callbacks of {USERS} people, with bodies of {body:.0f} bytes on average.",
        "",
        *table(
            ["store", "bytes a callback", "a million callbacks"],
            [
                [store, f"{size / count:.0f}", f"{size / count:.0f} MB"]
                for store, size in by_store.items()
            ],
        ),
    ]
    return "\n".join(lines)


@click.command(context_settings={"show_default": True, "max_content_width": 100})
@click.option("--count", default=100_000, help="Number of callbacks.")
@write_option
def main(*, count: int, writes: bool) -> None:
    """
    Measure how many bytes a callback takes in each store, and print Markdown.

    Progress goes to stderr. With the defaults it takes some 3 minutes.
    """
    logging.getLogger("aiokafka").setLevel("CRITICAL")
    try:
        tables = markdown(*asyncio.run(measure(count)))
    except Failure as fault:
        raise click.ClickException(str(fault)) from fault
    click.echo(tables)
    if writes:
        write(PAGE, "disk", tables)


if __name__ == "__main__":
    main()
