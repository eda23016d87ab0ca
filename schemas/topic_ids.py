"""
Ask Kafka for the id of a topic, and for the epoch of each partition's leader.

Kafka gives a topic a new id each time it is created. aiokafka asks for metadata in version 5, which
has no ids, so version 11 (Kafka 2.8 or newer) is described here.
"""

import asyncio
import base64
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import NodeNotReadyError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_ID = bytes(16)
# A connection of its own to each broker: on the connection for fetches, an answer would wait.
_CONNECTION_GROUP = "topic ids"


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 11
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):
    API_KEY = 3
    API_VERSION = 11
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString()), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicMetadata(Request[_MetadataRequest]):
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class([(_NO_ID, self._topic, {})], *(False, False), {})


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


async def describe_topic(client: AIOKafkaClient, node_id: int, topic: str) -> TopicOnBroker:
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
        response: Any = await connection.send(_TopicMetadata(topic))
    except NotImplementedError:
        return TopicOnBroker(None, {}, connection)
    except (TimeoutError, asyncio.CancelledError):
        # The network may be down although the connection is open. The caller asks again, by a new
        # connection: the kernel would take a quarter of an hour to give this one up.
        connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
        raise
    (found,) = response.topics
    error_code, _, topic_id, _, partitions, *_ = found
    if error_code:
        raise for_code(error_code)(topic)
    if not partitions:
        raise UnknownTopicOrPartitionError(topic)
    text = base64.urlsafe_b64encode(topic_id).decode().rstrip("=")
    return TopicOnBroker(
        None if topic_id == _NO_ID else text, {each[1]: each[3] for each in partitions}, connection
    )
