"""Callbacks of one conversation that the webhook `crm` has refused, and its retry topic."""

from support.kafka.access import plaintext
from support.kafka.parts import in_topic, many
from support.rejected_world import RejectedWorld, Stored

from consumers.runtime.batch import Position
from consumers.webhook.retry_record import TargetBegin
from consumers.webhook.retry_topic import RetryTopic
from schemas.topics import record_bytes_max

CRM = "webhook-crm"


async def refused_by_crm(world: RejectedWorld, count: int) -> list[Stored]:
    """Have the webhook refuse `count` callbacks, all of one partition, and return them."""
    await world.pipe.store(many(count, people=1))
    await world.pipe.forward()
    records = await in_topic(world.kafka, None)
    await world.reject(records, consumer=CRM)
    return records


def crm_retry_topic(world: RejectedWorld) -> RetryTopic:
    """Return the retry topic of the webhook, which the first claim creates."""
    return RetryTopic(
        kafka=plaintext(world.kafka), name="crm", record_bytes_max=record_bytes_max(1 << 20)
    )


async def move_crm_after(records: list[Stored], topic: RetryTopic) -> None:
    """Have the position of the webhook be after `records`, all of one partition."""
    async with topic.claim(records[0].partition) as claimed:
        await claimed.write([TargetBegin(Position(0)), Position(records[-1].offset + 1)])
