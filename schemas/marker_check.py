"""
Check that a transaction is complete, and that no partition was left out of it.

A coordinator that finds no leader of a partition takes the partition for deleted, and completes the
transaction without writing a marker there (Kafka 4.3.1, KAFKA-20734). All partitions of a broker
have no leader for a moment when the controller has fenced it, for example because it has stalled
for longer than broker.session.timeout.ms. Its clients do not notice: connections stay open. The
producer's next transaction also decides the records that were left open: its commit commits them,
its abort aborts them.

A partition's leader epoch increases whenever its leader changes, also from a broker to none. The
coordinator answers from the metadata in which it looks for leaders. So if it reports the same
epochs before a transaction ends and after the transaction is complete, every partition had a leader
all the time, and has a marker (docs/decisions/0017-open-transactions.md).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code

from schemas.clients import check_cancellation, kafka_failures
from schemas.kafka_names import KafkaName
from schemas.topic_metadata import TopicMetadata, topics_in
from schemas.transaction_state import transaction_state

POLL_INTERVAL_S = 0.01
# `__consumer_offsets` has the offsets that a transaction commits. If leaders of
# `__transaction_state` change, coordinators change. A principal that may not describe these two is
# protected by the epochs of the other topics alone.
_INTERNAL_TOPICS = KafkaName("__consumer_offsets"), KafkaName("__transaction_state")


class MarkerCheck:
    """The leaders that one producer's transactions began with; a change of them is an error."""

    def __init__(self, topics: Iterable[KafkaName]) -> None:
        self._topics = tuple(topics)
        self._transactional_id = KafkaName("")
        self._coordinator = -1
        # The coordinator's last answer that agrees with the first.
        self._known = b""

    async def begin(self, client: AIOKafkaClient, transactional_id: KafkaName) -> None:
        """
        Note the leaders of all partitions, before the first transaction of a producer ends.

        Raises:
            KafkaError: a topic does not exist, a partition has no leader, or Kafka does not answer.
        """
        self._transactional_id = transactional_id
        with kafka_failures():
            self._coordinator = await client.coordinator_lookup(
                CoordinationType.TRANSACTION, transactional_id
            )
            self._known = await self._ask(client)
        check_leaders(self._known, self._topics)

    async def check(self, client: AIOKafkaClient) -> None:
        """
        Return when the last transaction is complete: each of its partitions has the marker.

        Raises:
            KafkaError: it is not known whether each has it, or Kafka does not answer. Only a new
                producer may continue, after it has ended what may be open.
        """
        with kafka_failures():
            # The answer to the end of a transaction comes earlier than the markers.
            while await self._is_ending(client):
                check_cancellation()
                await asyncio.sleep(POLL_INTERVAL_S)
            now = await self._ask(client)
        if have_leaders_changed(self._known, now):
            raise KafkaError("the leaders of partitions changed while a transaction ended")
        self._known = now

    async def _is_ending(self, client: AIOKafkaClient) -> bool:
        state = await transaction_state(client, self._coordinator, self._transactional_id)
        return state.startswith("Prepare")

    async def _ask(self, client: AIOKafkaClient) -> bytes:
        request = TopicMetadata(*self._topics, *_INTERNAL_TOPICS)
        answer: Any = await client.send(
            self._coordinator, request, group=ConnectionGroup.COORDINATION
        )
        topics: bytes = answer.topics
        return topics


def check_leaders(answer: bytes, topics: Sequence[str]) -> None:
    """
    Check that every partition of `topics` has a leader; `answer` is `topics` of a response.

    Raises:
        KafkaError: one has none, or a topic does not exist.
    """
    for topic in topics_in(answer):
        if topic.name not in topics:
            continue
        if topic.error_code:
            raise for_code(topic.error_code)(topic.name)
        for number, (leader, _) in topic.leaders.items():
            if leader < 0:
                raise LeaderNotAvailableError(f"{topic.name}/{number} has no leader now")


def have_leaders_changed(before: bytes, now: bytes) -> bool:
    """Return whether a partition has got or lost a leader between two answers of one broker."""
    # Equal bytes are the usual case, and decoding an answer takes a millisecond.
    if before == now:
        return False
    old, new = _epochs(before), _epochs(now)
    # A partition that was created meanwhile begins with epoch 0.
    return bool(old.keys() - new.keys()) or any(old.get(each, 0) != new[each] for each in new)


def _epochs(answer: bytes) -> dict[tuple[str, int], int]:
    return {
        (topic.name, number): epoch
        for topic in topics_in(answer)
        for number, (_, epoch) in topic.leaders.items()
    }
