"""The spools of ingress processes that never come back are forwarded by the running ones."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.kafka.broker import Broker
from support.kafka.topic_proof import Topic
from support.processes.ingress import Ingress, until
from support.processes.senders import Senders

pytestmark = pytest.mark.timeout(600)


async def test_a_running_process_drains_what_dead_ones_left(
    broker: Broker, new_ingress: Callable[..., Ingress], tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Three are killed with full spools while Kafka is away; the fourth forwards every row once."""
    topic = await Topic.from_now(broker.address)
    ingresses = [new_ingress(tmp_path / "spool", broker.address) for _ in range(4)]
    broker.freeze()
    try:
        for ingress in ingresses:
            ingress.launch()
        await asyncio.gather(*(ingress.until_ready() for ingress in ingresses))
        async with Senders(*(i.port for i in ingresses), connections=16) as senders:
            await senders.until_more_ok(2000)
            for ingress in ingresses[:3]:
                ingress.kill()
        spools = (await ingresses[3].status())["spools"]
        assert len(spools) == 4
    finally:
        broker.thaw()

    async def drained() -> bool:
        status = await ingresses[3].status()
        drained_all = [spool["rows"] == 0 for spool in status["spools"]]
        return all(drained_all) and status["forwarded_sequence"] == status["last_sequence"]

    took_s = await until(drained, "the one that runs has drained all four spools")
    proof = await topic.proof(senders.ok)
    say(f"3 of 4 killed for good: {proof}; drained in {took_s:.1f} s")
    proof.assert_holds()
