"""
The Metadata request in version 11 (Kafka 2.8): topics with their ids and their leaders' epochs.

aiokafka asks in version 5, which has neither.
"""

from io import BytesIO
from typing import Any, NamedTuple

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

from schemas.kafka_names import KafkaName

NO_ID = bytes(16)


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _Rest(AbstractType[bytes]):
    """The rest of a response, not decoded."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read()


TOPICS = Schema(
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
        # Most answers are equal to the one before, which their bytes show at much less cost.
        ("topics", _Rest),
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


class TopicMetadata(Request[_MetadataRequest]):
    """A request for these topics; `topics` of the response is for `topics_in`."""

    API_KEY = 3

    def __init__(self, *topics: KafkaName) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        """Return the request."""
        topics: list[Any] = [(NO_ID, topic, {}) for topic in self._topics]
        return request_struct_class(topics, *(False, False), {})


class TopicDescription(NamedTuple):
    """
    A topic in a response.

    `leaders` has the leader and the leader's epoch of each partition; the leader is -1 if there is
    none. `topic_id` is NO_ID if the broker reports none.
    """

    error_code: int
    name: str
    topic_id: bytes
    leaders: dict[int, tuple[int, int]]


def topics_in(response_topics: bytes) -> list[TopicDescription]:
    """Return the topics of a response."""
    decoded: Any = TOPICS.decode(BytesIO(response_topics))
    return [
        TopicDescription(
            error_code, name, topic_id, {each[1]: (each[2], each[3]) for each in partitions}
        )
        for error_code, name, topic_id, _, partitions, *_ in decoded[0]
    ]
