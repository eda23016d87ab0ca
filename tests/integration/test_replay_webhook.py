"""`hookline replay webhook-NAME` sends callbacks again to a target that has lost them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.kafka.access import plaintext
from support.kafka.parts import in_topic
from support.processes.command import run_hookline
from support.processes.ingress import until
from support.webhook.receiver import Arrival, receiving
from support.webhook.world import World, a_world, keys_by_person

from consumers.runtime.batch import Position
from ops.audit.webhook_state import read_state
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import ExitCode

COUNT = 80
RATE = 100
# The callbacks of one piece come again after a kill, at most: those of a tenth of a second.
REPEATS_MAX = RATE // 10


@pytest.fixture
async def world(empty_kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[World]:
    """Yield a world without callbacks."""
    async with a_world(empty_kafka.address, tmp_path) as made:
        yield made


def environment(world: World, url: str) -> dict[str, str]:
    """Return the environment of a replay to the target at `url`."""
    return os.environ | {
        "HOOKLINE_BOOTSTRAP_SERVERS": world.kafka,
        "COLUMNS": "200",
        **world.env(url),
    }


async def start(world: World, url: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start a replay to the target at `url`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli", "replay", f"webhook-{world.name}", *arguments),
        env=environment(world, url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def replayed(world: World, url: str, *arguments: str, code: int = 0) -> str:
    """Run a replay, check its exit code, and return its output."""
    command = ("replay", f"webhook-{world.name}", *arguments)
    run = await asyncio.to_thread(
        run_hookline, *command, env=environment(world, url), is_merged=True
    )
    assert run.returncode == code, run.stdout
    return run.stdout


def summary(output: str) -> dict[str, Any]:
    """Return the JSON that a run has printed."""
    (found,) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return dict(found)


@pytest.mark.timeout(600)
async def test_a_target_that_has_lost_callbacks_gets_them_again_in_order(world: World) -> None:
    """Also if a replay is killed; those that the webhook has not delivered are left to it."""
    await world.send(COUNT)
    member = world.launch()
    await world.receiver.has(COUNT)
    records = await in_topic(world.kafka, None)

    async def is_noted() -> bool:
        at = (await read_state(plaintext(world.kafka), world.name)).positions
        return all(
            each.offset < at.get(each.partition, Position(0)).next_offset for each in records
        )

    await until(is_noted, "the webhook has stored its positions")
    member.kill()
    delivered = list(world.sent)
    await world.send(5)
    async with receiving() as target:
        output = await replayed(world, target.url, "--json")
        preview = summary(output)
        assert (preview["callbacks"], preview["pending"], target.ids) == (COUNT, 5, 0)
        # It is not known what the target lacks, and a script must not take it for nothing.
        assert {each["lacking"] for each in [preview, *preview["groups"]]} == {None}
        assert "nothing was done; to send 80 callbacks to the target again" in output
        run = await start(world, target.url, "--yes", "--rate", str(RATE))
        await target.has(COUNT // 4)
        run.kill()
        await run.communicate()
        assert run.returncode == -signal.SIGKILL
        left = summary(await replayed(world, target.url, "--json"))
        assert 0 < left["callbacks"] < COUNT
        output = await replayed(world, target.url, "--yes", "--rate", "1000")
        assert f"{left['callbacks']} callbacks sent again" in output
        target.check(keys_by_person(delivered))
        assert target.repeats() <= REPEATS_MAX
        # A second replay of the same selection begins again; one callback is refused.
        refused = target.accepted[0].key
        target.answer = refusing(refused)
        output = await replayed(
            world, target.url, "--yes", "--rate", "1000", code=ExitCode.DEAD_LETTERED
        )
        assert f"{COUNT - 1} callbacks sent again, 1 rejected by the target" in output
        assert "the target answered 400" in output
        target.answer = gone
        output = await replayed(world, target.url, "--yes", code=ExitCode.UNREADABLE)
        assert "it wants no more callbacks" in output


def refusing(key: str) -> Any:
    """Return an answer that one callback gets."""

    async def answer(arrival: Arrival) -> int:
        return 400 if arrival.key == key else 200

    return answer


async def gone(_: Arrival) -> int:
    """Answer that no more callbacks are wanted."""
    return 410
