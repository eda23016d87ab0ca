"""
Check that the topic is still the one that a spool's rows went to.

The ingress continues in any case: the rows in the spool go to the current topic. Rows that have
left the spool cannot be sent again, so the log names those that the current topic may lack.
"""

import asyncio
import logging
import time

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from ingress.forward.cursor import Cursor
from ingress.spool.hours import HOUR_S, hour_at
from ingress.spool.state import SpoolState
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.telemetry import INGRESS_CURSOR_MISMATCHES
from schemas.topic_ids import describe_topic
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)

# A cursor of rows that are younger has not expired: no Kafka forgets offsets earlier by default.
CURSOR_HOURS_MIN = 24


async def current_topic_id(producer: AIOKafkaProducer, topic: KafkaName) -> str | None:
    """
    Ask each broker that leads a partition of `topic` for the topic's id.

    Records that those brokers acknowledged before are in this topic, or in an earlier one of the
    same name. Returns None if the brokers report no ids.

    Raises:
        KafkaError: no partition has a leader, a broker does not answer, or they do not agree yet.
    """
    cluster = producer.client.cluster
    partitions = await producer.partitions_for(topic)
    leaders = {cluster.leader_for_partition(TopicPartition(topic, number)) for number in partitions}
    known_leaders = [leader for leader in leaders if leader is not None and leader >= 0]
    if not known_leaders:
        # Those of a broker that shuts down have none, and the topic exists.
        raise KafkaError(f"topic {topic} has no leader now")
    answers = await asyncio.gather(
        *(describe_topic(producer.client, node, topic) for node in known_leaders)
    )
    # While brokers are upgraded from a version without ids, only some report one.
    ids = {answer.topic_id for answer in answers if answer.topic_id}
    if len(ids) > 1:
        raise KafkaError(f"the brokers do not agree on the id of the topic {topic}: {ids}")
    return ids.pop() if ids else None


class TopicCheck:
    """Has the id of the topic that rows went to, and reports a change of the topic once."""

    def __init__(self, kafka: KafkaAccess) -> None:
        self._topic = kafka.topic(CALLBACKS.name)
        # As far as this process knows.
        self.topic_id: str | None = None
        # The mismatch that was reported last, "" if there has been none since.
        self._reported = ""

    async def begin(self, producer: AIOKafkaProducer, state: SpoolState, cursor: Cursor) -> None:
        """
        Let rows go to the current topic from now on; report those that it may lack.

        Raises:
            KafkaError: see `current_topic_id`.
        """
        topic_id = await current_topic_id(producer, self._topic)
        self.report(state, cursor, topic_id)
        self.topic_id = topic_id or self.topic_id

    async def check(self, producer: AIOKafkaProducer) -> None:
        """
        Check that the topic still has the id that it had when earlier rows were sent.

        Raises:
            KafkaError: the topic was recreated; the next producer sends the rows of this
                transaction to the new topic.
        """
        current = await current_topic_id(producer, self._topic)
        if current and self.topic_id and current != self.topic_id:
            raise KafkaError(f"the topic {self._topic} was recreated, with the id {current}")

    def report(self, state: SpoolState, cursor: Cursor, topic_id: str | None) -> None:
        """
        Log and count a mismatch between cursor, topic and spool, unless it was reported.

        The current topic may lack some, or, without a cursor, get some again.

        Until a row is sent, every new producer finds the same cursor, with the id of the former
        topic. `topic_id` is the current topic's, None if it is not known.
        """
        before = cursor.topic_id or self.topic_id
        mismatch = _mismatch(self._topic, state, cursor, before=before, now=topic_id)
        if mismatch and mismatch != self._reported:
            INGRESS_CURSOR_MISMATCHES.inc()
            log.critical(
                "%s. Forwarding continues with the rows in the spool. See 'The topic was "
                "recreated' in docs/runbook.md",
                mismatch,
            )
        self._reported = mismatch


def _may_have_old_rows(state: SpoolState) -> bool:
    hour = hour_at(time.time() - CURSOR_HOURS_MIN * HOUR_S)
    later = state.first_sequence_since(hour)
    # Rows in quarantine were never forwarded.
    first = state.last_removable_number(0) + 1 - state.base
    return state.row_count > 0 and (later is None or first < later)


def _mismatch(
    topic: KafkaName, state: SpoolState, cursor: Cursor, *, before: str | None, now: str | None
) -> str:
    """Return why the topic may lack forwarded rows, or get some again, "" if neither may be."""
    first = state.first_sequence
    forwarded = range(cursor.sequence + 1, first)
    missing_count = len(forwarded) - sum(
        sequence in forwarded for sequence in state.quarantined_sequences
    )
    if before and now and before != now:
        change = f"the topic {topic} was recreated: its id was {before} and is {now}"
    elif missing_count:
        change = (
            f"Kafka's cursor is {cursor.sequence}, lower than what was forwarded: the topic "
            f"{topic} was recreated, Kafka was restored from an older copy, or the cursor "
            "expired (offsets.retention.minutes; then forwarded rows that are still in the spool "
            "are sent again)"
        )
    elif not cursor.sequence and _may_have_old_rows(state):
        # Whether any of them were forwarded is not known: the spool does not note it.
        return (
            f"Kafka has no cursor of origin {state.origin}, whose first rows may have been in "
            f"the spool for {CURSOR_HOURS_MIN} hours or more: if they were forwarded and the "
            "cursor expired (offsets.retention.minutes), they are sent again; hookline audit "
            "reports them as doubled"
        )
    else:
        return ""
    if not missing_count:
        return (
            f"{change}; no row of origin {state.origin} that has left the spool is known to be lost"
        )
    return (
        f"{change}; sequences {cursor.sequence + 1} to {first - 1} ({missing_count} callbacks) of "
        f"origin {state.origin} have left the spool and may not be in the current topic; "
        "hookline audit reports which sinks have them"
    )
