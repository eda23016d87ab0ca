"""`hookline dead-letters resend` is killed at many points of its code, then repeated."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from support.processes.killed_command import calls_counted, run_forked
from support.rejected_world import RejectedWorld, a_rejected_world
from support.webhook.refused import CRM, crm_retry_topic, move_crm_after, refused_by_crm

from ops.demo.embedded.kafka import EmbeddedKafka

CONSUMERS = ("sync", "ingress")
# A run sends so many dead letters at once.
BATCH = 2
RATE = str(10 * BATCH)
# Each run has new ones to send, and those that the last runs have left.
NEW = 3 * BATCH
LAST = 3 * NEW
# A half of the points is anywhere after the preview, the other one after the first batch has begun.
STARTS = (
    ["ops.dead_letters.resend_command:_send"],
    [
        "ops.dead_letters.to_database:send",
        "ops.dead_letters.to_topic:send",
        "ops.dead_letters.to_webhook:send",
    ],
)


@pytest.fixture
async def world(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    async with a_rejected_world(empty_kafka.address, conninfo, tmp_path) as made:
        yield made


class Killed:
    """Runs of `resend` for one consumer, which are killed at different points."""

    def __init__(self, world: RejectedWorld, consumer: str, ids: Sequence[str]) -> None:
        self._world = world
        self._consumer = consumer
        self._ids = ids
        self._selected_to = 0
        self._log = world.archive.with_name(f"{consumer}.log")

    async def run(self, start: int, call: int) -> bool:
        """Run it, to be killed at `call` if that is not 0; return whether it was killed."""
        self._selected_to += NEW
        selected = self._ids[max(0, self._selected_to - NEW - LAST) : self._selected_to]
        assert self._selected_to <= len(self._ids)
        options = [option for letter in selected for option in ("--id", letter)]
        code = await asyncio.to_thread(
            run_forked,
            ["dead-letters", "resend", self._consumer, "--yes", "--records-per-s", RATE, *options],
            self._world.env,
            self._log,
            counted_from=STARTS[start],
            kill_at=call,
        )
        assert code in (0, -signal.SIGKILL), self._log.read_text()
        return code != 0

    async def kill(self, count: int) -> set[tuple[int, int]]:
        """Kill `count` runs, at points spread over all calls of a run; return the points."""
        points: set[tuple[int, int]] = set()
        for start in range(len(STARTS)):
            share = (count + start) // len(STARTS)
            await self.run(start, 0)
            calls = calls_counted(self._log)
            for at in range(share):
                # On a busy machine a run has more calls, so a later one may end before its point.
                while not await self.run(start, call := calls * at // share + 1):
                    calls = calls_counted(self._log)
                points.add((start, call))
        return points


@pytest.mark.timeout(600)
async def test_a_resend_killed_at_any_point_loses_and_doubles_nothing(
    world: RejectedWorld, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """Every dead letter is in its sink once, and an action says so; the audit proves it."""
    kills_each = scaled(12, at_most=100, in_long_runs=100) // len(CONSUMERS)
    # Some for each kill, and as many for runs that end before their points.
    count = 2 * (kills_each + len(STARTS)) * NEW
    await world.reject_by_sync_and_ingress(count)
    kills = 0
    for consumer in CONSUMERS:
        killed = Killed(world, consumer, await world.open_ids(consumer))
        kills += len(await killed.kill(kills_each))
    assert kills == kills_each * len(CONSUMERS)
    left = await world.resend_to_sync_and_ingress(count)
    say(
        f"{kills} kill points: 0 lost, 0 doubled of {2 * count};"
        f" {2 * count - left} were sent before the last run"
    )


@pytest.mark.timeout(600)
async def test_a_killed_resend_to_a_webhook_parks_every_callback_once(
    world: RejectedWorld, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """Each dead letter of a webhook is in its retry topic, once, and an action says so."""
    kills = scaled(4, at_most=24, in_long_runs=8)
    count = 2 * (kills + len(STARTS)) * NEW
    records = await refused_by_crm(world, count)
    topic, number = crm_retry_topic(world), records[0].partition
    await move_crm_after(records, topic)
    killed = Killed(world, CRM, await world.open_ids(CRM))
    assert len(await killed.kill(kills)) == kills
    (group,) = await world.groups()
    await world.hookline("resend", CRM, "--yes")
    assert [(each["open"], each["resent"]) for each in await world.groups()] == [(0, count)]
    async with topic.claim(number) as claimed:
        assert claimed.state.parked_records == count
        assert all(claimed.state.parked(each.offset) for each in records)
    say(
        f"{kills} kill points: 0 lost, 0 doubled of {count};"
        f" {group['resent']} were sent before the last run"
    )
