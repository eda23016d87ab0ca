"""Commands that write to a sink refuse the sink of another pipeline, and write nothing."""

from pathlib import Path

import pytest
from support.acls.principals import hookline
from support.builders import P0
from support.kafka.parts import in_topic, many
from support.rejected_world import RejectedWorld, a_rejected_world
from valkey import Valkey

from consumers.counters import layout
from consumers.counters.position_text import position_text
from consumers.runtime.batch import Partition, Position
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.records.callbacks_topic import reading_topic
from ops.topic_changes import apply_topics
from schemas.kafka_access import kafka_access
from schemas.topics import CALLBACKS

OTHER_PREFIX = "prod."
REFUSED = "HOOKLINE_KAFKA_PREFIX and the sink's address those of one pipeline?"


async def id_of_other(kafka: str) -> str:
    """Make the topics of another pipeline on the broker; return the id of its main topic."""
    access = kafka_access(kafka, {"HOOKLINE_KAFKA_PREFIX": OTHER_PREFIX})
    await apply_topics(access, body_bytes_max=1 << 20, replicas=1)
    async with reading_topic(access) as topic:
        topic_id = await topic.id()
    assert topic_id
    return topic_id


async def in_other_database(world: RejectedWorld) -> None:
    """Have sync reject callbacks of this pipeline; the database is that of the other one."""
    await world.pipe.store(many(10))
    await world.pipe.forward()
    topic_id = await id_of_other(world.kafka)
    async with world.database() as database:
        assert await database.position(P0) is None  # the tables are made
        for number in range(CALLBACKS.partitions):
            partition = Partition(CALLBACKS.name, number)
            await database.store_first_position(partition, Position(1_000_000, None, topic_id))


@pytest.mark.timeout(600)
async def test_dead_letters_are_not_sent_to_the_database_of_another_pipeline(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> None:
    """They stay open."""
    async with a_rejected_world(empty_kafka.address, conninfo, tmp_path) as world:
        await in_other_database(world)
        await world.reject(await in_topic(world.kafka, None))
        output = await world.hookline("resend", "sync", "--yes", code=2)
        assert REFUSED in output
        assert await world.receipts() == (0, 0, None, None, 0)
        assert sum(int(group["open"]) for group in await world.groups()) == 10


@pytest.mark.timeout(600)
async def test_callbacks_are_not_replayed_to_the_database_of_another_pipeline(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> None:
    """From the topic; an archive may have records of an earlier topic, which sync has written."""
    async with a_rejected_world(
        empty_kafka.address, conninfo, tmp_path, subcommand="replay"
    ) as world:
        await in_other_database(world)
        for options in ((), ("--yes",)):
            assert REFUSED in await world.hookline("sync", *options, code=2)
        assert await world.receipts() == (0, 0, None, None, 0)


@pytest.mark.timeout(600)
async def test_the_counts_of_another_pipeline_are_not_replaced(
    empty_kafka: EmbeddedKafka, valkey_url: str
) -> None:
    """Neither is an interrupted rebuild given up, nor one of another topic continued."""
    kafka = empty_kafka.address
    other = position_text(Position(7, None, await id_of_other(kafka)))
    valkey = Valkey.from_url(valkey_url)
    valkey.hset(layout.positions(1), str(P0), other)
    valkey.set(layout.REBUILDING, "2")
    env = {"COUNTERS_VALKEY": valkey_url, "HOOKLINE_BOOTSTRAP_SERVERS": kafka}
    rebuild = ("counters", "rebuild")
    for options in ((), ("--yes",), ("--yes", "--start-over")):
        assert REFUSED in await hookline(env, *rebuild, *options, code=2)
    assert valkey.get(layout.REBUILDING) == b"2"
    assert valkey.get(layout.GENERATION) is None
    # The served counts are of this topic or of none, and the interrupted rebuild is of another.
    valkey.delete(layout.positions(1))
    valkey.hset(layout.positions(2), str(P0), other)
    assert "--start-over" in await hookline(env, *rebuild, "--yes", code=2)
    valkey.close()
