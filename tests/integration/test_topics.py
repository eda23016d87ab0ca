"""`topics apply` makes the cluster what is declared, and may be run again."""

import asyncio

import pytest

from ops.embedded.kafka import EmbeddedKafka
from ops.topics import Refused, apply_topics


async def test_topics_are_created_then_kept(own_kafka: EmbeddedKafka) -> None:
    """The second time only the configuration is set."""
    done = await apply_topics(own_kafka.address, body_bytes_max=1 << 20, replicas=1)
    assert done == [
        "tim.callbacks.v1: configuration set",
        "tim.callbacks.dead.v1: configuration set",
    ]


async def test_what_the_cluster_refuses_is_told(own_kafka: EmbeddedKafka) -> None:
    """In its own words."""
    with pytest.raises(Refused, match=r"max\.message\.bytes"):
        await apply_topics(own_kafka.address, body_bytes_max=1 << 40, replicas=1)


async def test_without_kafka_it_says_where_it_looked() -> None:
    """Not a traceback."""
    async with asyncio.timeout(40):
        with pytest.raises(Refused, match=r"127\.0\.0\.1:1"):
            await apply_topics("127.0.0.1:1", body_bytes_max=1 << 20, replicas=1)
