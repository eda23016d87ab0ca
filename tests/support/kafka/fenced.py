"""A broker that the controller fences while it runs, and that leads its partitions again then."""

import asyncio

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from support.kafka.broker import SESSION_MS, Broker
from support.processes.ingress import until

from schemas.clients import kafka_failures, started
from schemas.kafka_names import KafkaName
from schemas.topic_ids import describe_topic
from schemas.topics import CALLBACKS

# A broker that wakes may send a heartbeat before the controller looks at its session. In most
# attempts it does not.
ATTEMPTS = 100
# How often, at intervals of 0.05 s, the epochs are read until the next attempt.
LOOKS = 10
# Then it is asked again.
ANSWERS_S_MAX = 20.0
_NODE = 1


async def fence(broker: Broker, *, session_ms: int = SESSION_MS) -> None:
    """
    Freeze `broker` for longer than its session, and return when its partitions have leaders again.

    Its clients stay connected.
    """
    async with started(AIOKafkaClient(bootstrap_servers=broker.address), 180) as client:
        before = await _epochs(client)

        async def is_back() -> bool:
            now = await _epochs(client)
            # The fence and its end are two changes of leaders.
            return all(now.get(partition, 0) >= epoch + 2 for partition, epoch in before.items())

        for _ in range(ATTEMPTS):
            with broker.frozen():
                await asyncio.sleep(1.5 * session_ms / 1000)
            for _ in range(LOOKS):
                if await _epochs(client) != before:
                    await until(is_back, "the broker leads its partitions again")
                    return
                await asyncio.sleep(0.05)
    raise AssertionError(f"the controller did not fence the broker in {ATTEMPTS} attempts")


async def _epochs(client: AIOKafkaClient) -> dict[int, int]:
    """Return the epoch of each partition's leader, as soon as the broker answers."""
    epochs: dict[int, int] = {}

    async def answers() -> bool:
        try:
            with kafka_failures():
                async with asyncio.timeout(ANSWERS_S_MAX):
                    epochs.update(
                        (await describe_topic(client, _NODE, KafkaName(CALLBACKS.name))).epochs
                    )
        except (KafkaError, TimeoutError):
            return False
        return True

    await until(answers, "the broker answers")
    return epochs
