"""A webhook keeps the contract of all sinks, with its position in a real Kafka."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.webhook.receiver import Receiver, receiving
from support.webhook.world import World

from consumers.runtime.handler_checks import CHECKS, StoreUnderTest


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a receiver that accepts everything."""
    async with receiving() as made:
        yield made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_webhook_keeps_the_contract(
    kafka: str,
    receiver: Receiver,
    tmp_path: Path,
    check: Callable[[StoreUnderTest], Awaitable[None]],
) -> None:
    """A member that has lost the partition even sends nothing, once it handles another batch."""
    world = World(kafka, tmp_path, receiver)

    async def effects() -> int:
        assert receiver.repeats() == 0
        return len(receiver.accepted)

    async with world.handler() as handler, world.handler() as rival:
        await check(StoreUnderTest(handler, rival, effects))
    world.pipe.close()
