"""Callbacks that a webhook's target refused go to it again, in order, and to no other."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.kafka.parts import ends_of
from support.processes.ingress import until
from support.rejected_world import RejectedWorld, a_rejected_world
from support.webhook.proof import prove
from support.webhook.receiver import Arrival
from support.webhook.refused import CRM, crm_retry_topic, move_crm_after, refused_by_crm
from support.webhook.world import a_world

from consumers.runtime.batch import Position, Record
from consumers.webhook.retry_record import FinishedCallback, ParkedCallback, TargetBegin
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import ExitCode


async def refusing_user3(arrival: Arrival) -> int:
    """Refuse the callbacks of one person for good."""
    return 400 if arrival.person == "user3" else 204


@pytest.fixture
async def rejected(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    async with a_rejected_world(empty_kafka.address, conninfo, tmp_path) as made:
        yield made


@pytest.mark.timeout(600)
async def test_a_target_gets_what_it_refused_before_later_callbacks(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> None:
    """Its members deliver it; the main topic, and so every other consumer, gets nothing."""
    async with (
        a_world(empty_kafka.address, tmp_path, answer=refusing_user3) as world,
        a_rejected_world(empty_kafka.address, conninfo, tmp_path / "commands") as commands,
    ):
        consumer = f"webhook-{world.name}"
        receiver = world.receiver
        await world.send(60, people=6)
        world.launch()
        await receiver.has(50)

        async def all_refused() -> bool:
            return [each["open"] for each in await commands.groups("--consumer", consumer)] == [10]

        await until(all_refused, "the dead letters of user3")
        receiver.answer = _ok
        before = await ends_of(world.kafka)
        sent = await commands.hookline("resend", consumer, "--yes")
        assert "10 selected: 10 sent" in sent
        assert await ends_of(world.kafka) == before
        await world.send(12, people=6)
        await receiver.has(72)
        world.check()
        await prove(world)
        again = await commands.hookline("resend", consumer, "--yes")
        assert "no open dead letter is selected" in again


async def _ok(_: Arrival) -> int:
    return 204


@pytest.mark.timeout(600)
async def test_what_the_webhook_has_is_noted_and_what_it_will_reach_is_skipped(
    rejected: RejectedWorld,
) -> None:
    """
    A retry topic is neither made for a webhook that never ran, nor written before it began.

    The action of a callback that waits is noted, also if it has failed since a killed command
    parked it: otherwise the next command would send it again after its delivery.
    """
    records = await refused_by_crm(rejected, 8)
    text = await rejected.hookline("resend", CRM, "--yes", code=ExitCode.UNREADABLE)
    assert "has no topic tim.callbacks.retry.crm.v1" in text
    topic, number = crm_retry_topic(rejected), records[0].partition
    async with topic.claim(number):
        pass
    text = await rejected.hookline("resend", CRM, "--yes", code=ExitCode.UNREADABLE)
    assert "has not begun in partition" in text
    first, begin = records[0], Position(records[0].offset)
    waits = Record(first.offset, first.timestamp, first.key, first.value or b"", first.headers)
    async with topic.claim(number) as claimed:
        await claimed.write(
            [
                TargetBegin(begin),
                ParkedCallback(waits, 1, 0, 0, "status 500"),
                Position(records[6].offset),
            ]
        )
    text = await rejected.hookline("resend", CRM, "--yes", "--json")
    assert json.loads(text.splitlines()[-1]) == {"resent": 6, "rejected": 0, "skipped": 2}
    async with topic.claim(number) as claimed:
        parked = [claimed.state.parked(each.offset) for each in records]
    assert [each and each.reason for each in parked] == [
        "status 500",
        *5 * ["sent again by hookline dead-letters"],
        *2 * [None],
    ]
    # It was sent again and has not been tried since: that is no failure.
    assert [each.failing_since_ms for each in parked[1:] if each] == [0] * 5
    assert all(each.failed_or_resent_at_ms for each in parked[1:] if each)
    assert all(
        each is None
        or (each.record.value, list(each.record.headers)) == (one.value, [*one.headers])
        for each, one in zip(parked, records, strict=True)
    )
    text = await rejected.hookline("resend", CRM, "--yes")
    assert "2 selected: 0 sent, 0 rejected again, 2 skipped, because webhook-crm will read" in text


@pytest.mark.timeout(600)
async def test_a_resend_stops_when_the_retry_topic_has_as_many_callbacks_as_allowed(
    rejected: RejectedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member loads what waits in a partition; after some are delivered, the next run goes on."""
    records = await refused_by_crm(rejected, 8)
    topic, number = crm_retry_topic(rejected), records[0].partition
    await move_crm_after(records, topic)
    monkeypatch.setenv("WEBHOOK_PARKED_RECORDS_MAX", "none")
    text = await rejected.hookline("resend", CRM, "--yes", code=ExitCode.UNREADABLE)
    assert "WEBHOOK_PARKED_RECORDS_MAX must be a whole number" in text
    monkeypatch.setenv("WEBHOOK_PARKED_RECORDS_MAX", "5")
    for _ in range(2):
        text = await rejected.hookline("resend", CRM, "--yes", code=ExitCode.UNREADABLE)
        assert f"as many callbacks as allowed wait in {topic.topic}/{number}" in text
        assert [(each["open"], each["resent"]) for each in await rejected.groups()] == [(3, 5)]
    async with topic.claim(number) as claimed:
        assert claimed.state.parked_records == 5
        await claimed.write([FinishedCallback(each.offset) for each in records[:5]])
    assert "3 selected: 3 sent" in await rejected.hookline("resend", CRM, "--yes")
    async with topic.claim(number) as claimed:
        assert [each.offset for each in records if claimed.state.parked(each.offset)] == [
            each.offset for each in records[5:]
        ]
