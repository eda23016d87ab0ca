"""
Ask Kafka for the id of a topic, and for the epoch of each partition's leader.

Kafka gives a topic a new id each time it is created. aiokafka asks for metadata in a version that
has no ids, so `schemas/topic_metadata.py` describes a later one.
"""

import asyncio
import base64
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import KafkaError, NodeNotReadyError, UnknownTopicOrPartitionError, for_code

from schemas.kafka_names import KafkaName
from schemas.topic_metadata import NO_ID, TopicMetadata, topics_in

# A connection of its own to each broker: on the connection for fetches, an answer would wait.
_CONNECTION_GROUP = "topic ids"


class TopicOnBroker(NamedTuple):
    """
    A topic as a broker knows it.

    `topic_id` is written as Kafka's own tools do; None: the broker reports no ids. `epochs` are the
    leaders' epochs by partition. `connection` is the one by which the broker answered: another one
    may lead to a broker that was restored meanwhile.
    """

    topic_id: str | None
    epochs: dict[int, int]
    connection: object


async def describe_topic(client: AIOKafkaClient, node_id: int, topic: KafkaName) -> TopicOnBroker:
    """
    Ask the broker `node_id` for `topic`.

    A broker learns of a topic's new id before it writes or serves a record of the new topic.

    Raises:
        UnknownTopicOrPartitionError: the topic does not exist now.
        KafkaError: the broker does not answer.
    """
    if not await client.ready(node_id, group=_CONNECTION_GROUP):
        raise NodeNotReadyError(f"broker {node_id} cannot be reached")
    connection = client._conns[node_id, _CONNECTION_GROUP]  # noqa: SLF001
    try:
        response: Any = await connection.send(TopicMetadata(topic))
    except NotImplementedError:
        return TopicOnBroker(None, {}, connection)
    except (TimeoutError, asyncio.CancelledError):
        # The network may be down although the connection is open. The caller asks again, by a new
        # connection: the kernel would take a quarter of an hour to give this one up.
        connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
        raise
    (answered_topic,) = topics_in(response.topics)
    if answered_topic.error_code:
        raise for_code(answered_topic.error_code)(topic)
    if not answered_topic.leaders:
        raise UnknownTopicOrPartitionError(topic)
    text = base64.urlsafe_b64encode(answered_topic.topic_id).decode().rstrip("=")
    epochs = {number: epoch for number, (_, epoch) in answered_topic.leaders.items()}
    return TopicOnBroker(None if answered_topic.topic_id == NO_ID else text, epochs, connection)


async def topic_id_of(client: AIOKafkaConsumer, topic: KafkaName) -> str | None:
    """
    Return Kafka's id of a topic, None if Kafka has no ids.

    Raises:
        KafkaError: the topic has no leader now, or Kafka does not answer.
    """
    network = client._client  # noqa: SLF001
    leader = network.cluster.leader_for_partition(TopicPartition(topic, 0))
    if leader is None or leader < 0:
        raise KafkaError(f"topic {topic} has no leader now")
    return (await describe_topic(network, leader, topic)).topic_id
