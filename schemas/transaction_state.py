"""
Ask the coordinator how the last transaction of a transactional id ended; end one that is under way.

This is KIP-664's DescribeTransactions, which aiokafka does not have.
"""

import asyncio
from enum import Enum
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidProducerEpoch,
    InvalidTxnState,
    KafkaError,
    NoError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName

REQUEST_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.01
_UNDER_WAY = "Ongoing"
_ABORTED_STATES = ("PrepareAbort", "CompleteAbort", "PrepareEpochFence")
_COMMITTED_STATES = ("PrepareCommit", "CompleteCommit")
# The transaction is not under way any more, or is being ended by another request.
_ENDED_OTHERWISE = (ConcurrentTransactions, InvalidProducerEpoch, InvalidTxnState)
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


async def end_last_transaction(
    kafka: KafkaAccess, transactional_id: KafkaName, *, commit: bool = False
) -> TransactionOutcome:
    """
    Abort the last transaction if it is under way, or commit it if `commit`; return how it ended.

    Call this before the next producer starts: its start makes the coordinator forget the outcome.
    Do not leave the abort to that start: a delayed commit of the former producer could arrive
    before it.

    Raises:
        KafkaError: the coordinator does not know now.
        TimeoutError: it does not answer within REQUEST_TIMEOUT_S.
    """
    client = AIOKafkaClient(**kafka.options())
    async with started(client, REQUEST_TIMEOUT_S, kafka), asyncio.timeout(REQUEST_TIMEOUT_S):
        coordinator = await _coordinator(client, transactional_id)
        while (now := await _describe(client, coordinator, transactional_id)).state == _UNDER_WAY:
            check_cancellation()
            await _end(client, coordinator, transactional_id, now, commit=commit)
    if now.state in _ABORTED_STATES:
        return TransactionOutcome.ABORTED
    if now.state in _COMMITTED_STATES:
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
    return (await _describe(client, coordinator, transactional_id)).state


class _LastTransaction(NamedTuple):
    state: str
    producer_id: int
    producer_epoch: int


async def _describe(
    client: AIOKafkaClient, coordinator: int, transactional_id: KafkaName
) -> _LastTransaction:
    described: Any = await client.send(
        coordinator, _Describe(transactional_id), group=ConnectionGroup.COORDINATION
    )
    error, _, state, _, _, producer_id, epoch, *_ = described.states[0]
    if error not in (_NO_ERROR, _NOT_FOUND):
        raise KafkaError(f"the transaction's coordinator answers {for_code(error).__name__}")
    return _LastTransaction(str(state), producer_id, epoch)


async def _end(
    client: AIOKafkaClient,
    coordinator: int,
    transactional_id: KafkaName,
    last: _LastTransaction,
    *,
    commit: bool,
) -> None:
    """End a transaction that is under way, as its producer would; ask for its state again then."""
    request = EndTxnRequest(transactional_id, last.producer_id, last.producer_epoch, commit)
    answer: Any = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
    error = for_code(answer.error_code)
    if error in _ENDED_OTHERWISE:
        await asyncio.sleep(POLL_INTERVAL_S)
    elif error is not NoError:
        raise error(transactional_id)


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
