"""
The OffsetFetch request in version 7 (Kafka 2.5), which can require stable offsets.

aiokafka asks in version 3, in which nothing tells an older coordinator's answer from the current
one's.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from schemas.kafka_names import KafkaName


class _OffsetFetchResponse(Response):
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", CompactString("utf-8")),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _OffsetFetchRequest(RequestStruct):
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchResponse
    SCHEMA = Schema(
        ("group", CompactString("utf-8")),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("requires_stable", Boolean),
        ("tags", TaggedFields),
    )


class OffsetFetch(Request[_OffsetFetchRequest]):
    """
    A request for the committed offsets of some partitions, each given as topic and numbers.

    If it requires stable offsets, a broker answers only if it is certain that it is the group's
    coordinator still, and that no transaction is about to commit one of the offsets.
    """

    API_KEY = 9

    def __init__(
        self,
        group: KafkaName,
        partitions: Sequence[tuple[str, Sequence[int]]],
        *,
        requires_stable: bool,
    ) -> None:
        self._group = group
        self._partitions = partitions
        self._requires_stable = requires_stable

    def build(self, request_struct_class: type[_OffsetFetchRequest]) -> _OffsetFetchRequest:
        """Return the request."""
        topics: list[Any] = [(topic, list(numbers), {}) for topic, numbers in self._partitions]
        return request_struct_class(
            group=self._group, topics=topics, requires_stable=self._requires_stable, tags={}
        )
