"""
Ask the coordinator how the last transaction of a transactional id ended.

This is KIP-664's DescribeTransactions, which aiokafka does not have.
"""

import asyncio
from enum import Enum
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName

REQUEST_TIMEOUT_S = 30.0
# A transaction that is under way counts as aborted: the start of the next producer aborts it.
_ABORTED_STATES = ("Ongoing", "PrepareAbort", "CompleteAbort", "PrepareEpochFence")
_COMMITTED_STATES = ("PrepareCommit", "CompleteCommit")
_NO_ERROR, _NOT_FOUND = 0, 105


class TransactionOutcome(Enum):
    """
    The outcome of the last transaction; NOT_ASKED until the coordinator is asked.

    FORGOTTEN counts as committed, unless it is known from elsewhere that it was aborted.
    """

    NOT_ASKED = "not asked yet"
    COMMITTED = "committed"
    ABORTED = "aborted"
    FORGOTTEN = "a producer has started since, or Kafka has no such transactional id (any more)"


async def last_transaction_outcome(
    kafka: KafkaAccess, transactional_id: KafkaName
) -> TransactionOutcome:
    """
    Ask how the last transaction ended, or will end.

    Ask before the next producer starts: its start makes the coordinator forget the answer.

    Raises:
        KafkaError: the coordinator does not know now.
        TimeoutError: it does not answer within REQUEST_TIMEOUT_S.
    """
    client = AIOKafkaClient(**kafka.options())
    async with started(client, REQUEST_TIMEOUT_S, kafka), asyncio.timeout(REQUEST_TIMEOUT_S):
        coordinator = await _coordinator(client, transactional_id)
        state = await transaction_state(client, coordinator, transactional_id)
    if state in _ABORTED_STATES:
        return TransactionOutcome.ABORTED
    if state in _COMMITTED_STATES:
        return TransactionOutcome.COMMITTED
    return TransactionOutcome.FORGOTTEN


async def _coordinator(client: AIOKafkaClient, transactional_id: KafkaName) -> int:
    try:
        coordinator: int = await client.coordinator_lookup(
            CoordinationType.TRANSACTION, transactional_id
        )
    except TransactionalIdAuthorizationFailed as denied:
        # aiokafka raises the error without the id.
        raise TransactionalIdAuthorizationFailed(transactional_id) from denied
    return coordinator


async def transaction_state(
    client: AIOKafkaClient, coordinator: int, transactional_id: KafkaName
) -> str:
    """
    Return the state of the last transaction, in Kafka's words; "" if Kafka does not have the id.

    `coordinator` is the broker to ask.

    Raises:
        KafkaError: it is not the coordinator, does not know now, or does not answer.
    """
    described: Any = await client.send(
        coordinator, _Describe(transactional_id), group=ConnectionGroup.COORDINATION
    )
    error, _, state, *_ = described.states[0]
    if error not in (_NO_ERROR, _NOT_FOUND):
        raise KafkaError(f"the transaction's coordinator answers {for_code(error).__name__}")
    return str(state)


class _Described(Response):
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("timeout_ms", Int32),
                ("start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeV0(RequestStruct):
    API_KEY = 65
    API_VERSION = 0
    RESPONSE_TYPE = _Described
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields)
    )


class _Describe(Request[_DescribeV0]):
    API_KEY = 65

    def __init__(self, transactional_id: KafkaName) -> None:
        self._transactional_id = transactional_id

    def build(self, request_struct_class: type[_DescribeV0]) -> _DescribeV0:
        """Return the request."""
        return request_struct_class([self._transactional_id], {})
