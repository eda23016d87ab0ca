"""Rejected callbacks are listed, shown, sent again exactly once, or dropped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import sync_tables
from support.builders import P0, a_callback
from support.kafka.access import plaintext
from support.kafka.parts import ends_of, in_topic, many, sequences
from support.processes.consumer import Consumer
from support.processes.ingress import until
from support.rejected_world import RejectedWorld, a_rejected_world, malformed_before

from consumers.stats.dead_letter_actions import ActionFollower
from consumers.stats.kafka_facts import ask_kafka
from consumers.stats.process_statuses import SilentProcess
from ops.audit.report import INGRESS_DEAD_LETTERS, KAFKA, POSTGRES
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import ExitCode
from schemas.body import Malformed
from schemas.outgoing_record import malformed_record

RULE = "alter table hookline.messages add constraint no_user3 check (sender <> 'user3')"


@pytest.fixture
async def world(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    async with a_rejected_world(empty_kafka.address, conninfo, tmp_path) as made:
        yield made


@pytest.fixture
def sync(world: RejectedWorld, tmp_path: Path) -> Iterator[Consumer]:
    """Yield the process of sync, which runs."""
    consumer = Consumer("sync", world.kafka, tmp_path / "sync.log", postgres=world.conninfo)
    consumer.launch()
    yield consumer
    consumer.kill()


async def receipts(world: RejectedWorld, count: int) -> None:
    """Return when the database has so many receipts."""

    async def there() -> bool:
        return await asyncio.to_thread(sync_tables.receipts, world.conninfo) == count

    await until(there, f"{count} receipts")


async def one_group(world: RejectedWorld, count: int) -> dict[str, Any]:
    """Return the only group of dead letters, when `count` of it are open."""
    groups: list[dict[str, Any]] = []

    async def has_all() -> bool:
        groups[:] = await world.groups()
        return sum(int(group["open"]) for group in groups) >= count

    await until(has_all, f"{count} dead letters")
    (group,) = groups
    return group


async def waiting(world: RejectedWorld, follower: ActionFollower) -> dict[tuple[str, str], int]:
    """Return the dead letters that the state of the pipeline counts, by sender and exception."""
    while True:
        facts = await ask_kafka(plaintext(world.kafka), [], follower)
        # On a busy machine, Kafka may not answer all questions in time.
        counted = "" if isinstance(facts, SilentProcess) else facts.dead_letters
        if not isinstance(counted, str) and counted.is_complete:
            return {(each.component, each.reason): n for each, n in counted.counts.items()}


@pytest.mark.timeout(600)
async def test_a_rule_is_fixed_and_what_it_rejected_is_sent_again(
    world: RejectedWorld, sync: Consumer
) -> None:
    """Sync gets it once and no other consumer does; the audit is green again."""
    await world.pipe.store(many(10, people=5))
    await world.pipe.forward()
    await receipts(world, 10)
    async with await psycopg.AsyncConnection.connect(world.conninfo, autocommit=True) as owner:
        await owner.execute(f"{RULE} not valid".encode())
        await world.pipe.store(many(20, first=11, people=5))
        await world.pipe.forward()
        await receipts(world, 26)
        group = await one_group(world, 4)
        assert (group["consumer"], group["command"]) == ("sync", "C2C.CallbackAfterSendMsg")
        assert (group["open"], group["resent"], group["dropped"]) == (4, 0, 0)
        assert "no_user3" in group["reason"]
        assert "red packet" in await world.hookline("show", "--body", group["example"])
        rejected = await world.hookline("resend", "sync", "--yes", code=ExitCode.DEAD_LETTERED)
        assert "4 dead letters were rejected again" in rejected
        await owner.execute(b"alter table hookline.messages drop constraint no_user3")
    # One of them is dropped in place of being sent.
    await world.hookline("drop", "sync", "--because", "a test", "--id", group["example"], "--yes")
    report = await world.audited()
    assert (report.dead_lettered, report.dropped, report.proven) == (3, 1, False)
    # The state of the pipeline has only those that wait, also those that are dropped later.
    follower = ActionFollower()
    assert await waiting(world, follower) == {("sync", "CheckViolation"): 3}
    before = await ends_of(world.kafka)
    preview = await world.hookline("resend", "sync")
    assert preview.count("no_user3") == 3
    assert "nothing was done" in preview
    sent = await world.hookline("resend", "sync", "--yes", "--reason", "NO_USER3", "--by", "me")
    assert "3 selected: 3 sent" in sent
    assert await ends_of(world.kafka) == before
    (counts,) = await world.rows("select count(*), count(distinct ce_id) from hookline.messages")
    assert counts == (29, 29)
    (group,) = await world.groups()
    assert (group["open"], group["resent"], group["dropped"]) == (0, 3, 1)
    assert await waiting(world, follower) == {}
    report = await world.audited()
    assert (report.dead_lettered, report.dropped, report.proven) == (0, 1, True)
    shown = await world.hookline("show", group["example"])
    assert "red packet" not in shown
    assert "there is no dead letter 0/99" in await world.hookline("show", "0/99", code=2)
    # Of an older copy of the database, only what was sent is missing.
    await world.rows("delete from hookline.receipts where sequence > 10 returning sequence")
    await world.hookline("resend", "sync", "--yes", "--again")
    assert await world.rows("select count(*) from hookline.receipts") == [(13,)]
    assert sync.runs


@pytest.mark.timeout(600)
async def test_malformed_callbacks_go_to_all_consumers_when_the_rules_accept_them(
    world: RejectedWorld,
) -> None:
    """Those still malformed stay open; the audit demands the ones sent from every sink."""
    still = malformed_record(a_callback(b"{"), Malformed("not JSON"))
    await world.pipe.store([*many(3), *malformed_before(range(5)), still])
    await world.pipe.forward()
    output = await world.hookline("resend", "ingress", "--yes", code=ExitCode.DEAD_LETTERED)
    assert "6 selected: 5 sent, 1 rejected again" in output
    assert await waiting(world, ActionFollower()) == {("ingress", "Malformed"): 1}
    again = await world.hookline("resend", "ingress", "--yes", code=ExitCode.DEAD_LETTERED)
    assert "1 selected: 0 sent, 1 rejected again" in again
    records = await in_topic(world.kafka, None)
    assert sorted(sequences(records)) == list(range(1, 9))
    async with world.database() as database:
        # The first connection makes the tables.
        assert await database.position(P0) is None
        (origin,) = (await world.audited()).origins
        assert (origin.sinks[POSTGRES].missing, origin.sinks[KAFKA].doubled) == (8, 0)
        await world.apply(database)
    report = await world.audited()
    assert report.proven
    (origin,) = report.origins
    assert origin.sinks[KAFKA].sequences == 8
    assert origin.sinks[INGRESS_DEAD_LETTERS].sequences == 1
    assert report.dropped == 0
    await world.hookline("drop", "ingress", "--because", "a test", "--yes")
    report = await world.audited()
    assert (report.proven, report.dropped) == (True, 1)


@pytest.mark.timeout(600)
async def test_a_consumer_that_no_dead_letter_has_is_named_with_those_that_some_have(
    world: RejectedWorld,
) -> None:
    """A misspelt name must not look like work that is done already."""
    await world.pipe.store(malformed_before(range(1)))
    await world.pipe.forward()
    because = ("--because", "a test", "--yes")
    others = "the topic has those of: ingress"
    wrong = await world.hookline("drop", "ingres", *because, code=ExitCode.UNREADABLE)
    assert f"no dead letter is of the consumer 'ingres'; {others}; nothing was done" in wrong
    # Such a webhook may exist, and have no dead letter any more: nothing to do is not an error.
    wrong = await world.hookline("drop", "webhook-crn", *because)
    assert f"no dead letter is of the consumer 'webhook-crn'; {others}; nothing was done" in wrong
    listed = await world.hookline("ls", "--consumer", "ingres")
    assert f"no dead letter is of the consumer 'ingres'; {others}" in listed
    assert "1 dead letter dropped" in await world.hookline("drop", "ingress", *because)
    again = await world.hookline("drop", "ingress", *because)
    assert "no open dead letter is selected; nothing was done" in again
