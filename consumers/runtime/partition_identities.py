"""Ask the leaders for the identities of partitions; partitions of one leader share a request."""

import asyncio
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from consumers.runtime.source import CALL_TIMEOUT_S, KafkaUnavailable, LogIdentity
from schemas.client_parts import mark_retrieved
from schemas.clients import kafka_failures
from schemas.kafka_names import KafkaName
from schemas.topic_ids import TopicOnBroker, describe_topic


class PartitionIdentities:
    """Keeps the last request to each leader, because its answer may serve other partitions."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        # By broker and topic: the time of the last request, and its answer.
        self._requests: dict[tuple[int, str], tuple[float, asyncio.Task[TopicOnBroker]]] = {}

    @property
    def tasks(self) -> Iterable[asyncio.Task[TopicOnBroker]]:
        """The requests, which have to be cancelled before the client ends."""
        return [request for _, request in self._requests.values()]

    async def log_identity(self, partition: TopicPartition, *, since: float) -> LogIdentity:
        """
        Return the identity that the partition's leader reported at `since` or later.

        Raises:
            KafkaUnavailable: Kafka does not answer, or has no such topic now.
        """
        client = self._client._client  # noqa: SLF001
        topic = KafkaName(partition.topic)
        leader = client.cluster.leader_for_partition(partition)
        if leader is None or leader < 0:
            raise KafkaUnavailable(f"Kafka reports no leader of {topic}/{partition.partition}")
        requested_at, request = self._requests.get((leader, topic), (-1.0, None))
        if request is None or requested_at < since or _has_failed(request):
            request = asyncio.create_task(_ask(client, leader, topic))
            request.add_done_callback(mark_retrieved)  # its callers may have been cancelled
            self._requests[leader, topic] = time.monotonic(), request
        await asyncio.wait((request,))
        if request.cancelled():
            raise KafkaUnavailable("the Kafka client is shutting down")
        try:
            with kafka_failures():
                topic_on_broker = request.result()
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailable(
                f"Kafka did not return the id of topic {topic}: {error!r}"
            ) from error
        return LogIdentity(
            topic_on_broker.topic_id,
            (leader, topic_on_broker.epochs.get(partition.partition), topic_on_broker.connection),
        )


async def _ask(client: AIOKafkaClient, node_id: int, topic: KafkaName) -> TopicOnBroker:
    async with asyncio.timeout(CALL_TIMEOUT_S):
        return await describe_topic(client, node_id, topic)


def _has_failed(request: asyncio.Task[TopicOnBroker]) -> bool:
    return request.done() and (request.cancelled() or request.exception() is not None)
