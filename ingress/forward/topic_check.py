"""
Check that the topic is still the one that a spool's rows went to.

The ingress continues in any case: the spool's rows go to the present topic. Rows that have left the
spool cannot be sent again, so the log names those that the present topic may lack.
"""

import asyncio
import logging

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from ingress.spool.spool import Spool
from schemas.telemetry import INGRESS_TOPIC_CHANGES
from schemas.topic_ids import topic_log
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)


async def present_topic_id(producer: AIOKafkaProducer) -> str | None:
    """
    Ask each broker that leads a partition of the main topic for the topic's id.

    Records that those brokers have acknowledged before are of this topic, or of an earlier one.
    None: they report no ids.

    Raises:
        KafkaError: a broker does not answer, or they do not agree yet.
    """
    topic, cluster = CALLBACKS.name, producer.client.cluster
    partitions = await producer.partitions_for(topic)
    leaders = {cluster.leader_for_partition(TopicPartition(topic, each)) for each in partitions}
    known = [leader for leader in leaders if leader is not None and leader >= 0]
    if not known:
        raise UnknownTopicOrPartitionError(topic)
    logs = await asyncio.gather(*(topic_log(producer.client, node, topic) for node in known))
    # While brokers are upgraded from a version without ids, only some report one.
    ids = {each.topic_id for each in logs if each.topic_id}
    if len(ids) > 1:
        raise KafkaError(f"the brokers do not agree on the id of the topic {topic}: {ids}")
    return ids.pop() if ids else None


def report_change(spool: Spool, cursor: int, *, before: str | None, now: str | None) -> None:
    """
    Log it if the topic may lack rows that were forwarded.

    `cursor` is the last sequence that Kafka has by its own count. `before` and `now` are the
    topic's ids, None if they are not known.
    """
    first = spool.first_sequence()
    damaged = sum(cursor < sequence < first for sequence in spool.damaged())
    gone = max(0, first - 1 - cursor - damaged)
    if before and now and before != now:
        found = f"the topic {CALLBACKS.name} was recreated: its id was {before} and is {now}"
    elif gone:
        found = (
            f"Kafka's cursor is {cursor}, lower than what was forwarded: the topic "
            f"{CALLBACKS.name} was recreated, Kafka was restored from an older copy, or the cursor "
            "expired (offsets.retention.minutes)"
        )
    else:
        return
    absent = (
        f"sequences {cursor + 1} to {first - 1} ({gone} callbacks) have left spool {spool.origin} "
        "and may not be in the present topic; hookline audit reports which sinks have them"
        if gone
        else f"nothing that has left spool {spool.origin} is known to be missing"
    )
    INGRESS_TOPIC_CHANGES.inc()
    log.critical(
        "%s; %s. Forwarding goes on with what the spool has. See 'The topic was recreated' in "
        "docs/runbook.md",
        found,
        absent,
    )
