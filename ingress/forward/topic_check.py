"""
Check that the topic is still the one that a spool's rows went to.

The ingress continues in any case: the rows in the spool go to the current topic. Rows that have
left the spool cannot be sent again, so the log names those that the current topic may lack.
"""

import asyncio
import logging

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from ingress.spool.state import State
from schemas.telemetry import INGRESS_TOPIC_CHANGES
from schemas.topic_ids import describe_topic
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)


async def current_topic_id(producer: AIOKafkaProducer) -> str | None:
    """
    Ask each broker that leads a partition of the main topic for the topic's id.

    Records that those brokers acknowledged before are in this topic, or in an earlier one of the
    same name. Returns None if the brokers report no ids.

    Raises:
        KafkaError: a broker does not answer, or they do not agree yet.
    """
    topic, cluster = CALLBACKS.name, producer.client.cluster
    partitions = await producer.partitions_for(topic)
    leaders = {cluster.leader_for_partition(TopicPartition(topic, number)) for number in partitions}
    known = [leader for leader in leaders if leader is not None and leader >= 0]
    if not known:
        raise UnknownTopicOrPartitionError(topic)
    answers = await asyncio.gather(
        *(describe_topic(producer.client, node, topic) for node in known)
    )
    # While brokers are upgraded from a version without ids, only some report one.
    ids = {answer.topic_id for answer in answers if answer.topic_id}
    if len(ids) > 1:
        raise KafkaError(f"the brokers do not agree on the id of the topic {topic}: {ids}")
    return ids.pop() if ids else None


async def check_same_topic(producer: AIOKafkaProducer, topic_id: str | None) -> None:
    """
    Check that the topic still has the id that it had when earlier rows were sent.

    Raises:
        KafkaError: the topic was recreated; the next producer sends the rows of this transaction
            to the new topic.
    """
    current = await current_topic_id(producer)
    if current and topic_id and current != topic_id:
        raise KafkaError(f"the topic {CALLBACKS.name} was recreated, with the id {current}")


def report_change(state: State, cursor: int, *, before: str | None, now: str | None) -> None:
    """
    Log an error if the current topic may lack rows that were forwarded.

    `cursor` is the last sequence that Kafka has, by Kafka's own count. `before` and `now` are the
    topic's ids, None or "" if they are not known.
    """
    first = state.first_sequence
    quarantined = sum(cursor < sequence < first for sequence in state.quarantined_sequences)
    gone = max(0, first - 1 - cursor - quarantined)
    if before and now and before != now:
        change = f"the topic {CALLBACKS.name} was recreated: its id was {before} and is {now}"
    elif gone:
        change = (
            f"Kafka's cursor is {cursor}, lower than what was forwarded: the topic "
            f"{CALLBACKS.name} was recreated, Kafka was restored from an older copy, or the cursor "
            "expired (offsets.retention.minutes)"
        )
    else:
        return
    absent = (
        f"sequences {cursor + 1} to {first - 1} ({gone} callbacks) of origin {state.origin} have "
        "left the spool and may not be in the current topic; hookline audit reports which "
        "sinks have them"
        if gone
        else f"no row of origin {state.origin} that has left the spool is known to be missing"
    )
    INGRESS_TOPIC_CHANGES.inc()
    log.critical(
        "%s; %s. Forwarding continues with the rows in the spool. See 'The topic was recreated' in "
        "docs/runbook.md",
        change,
        absent,
    )
