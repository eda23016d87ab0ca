"""
What a transaction leaves open although its coordinator has ended it.

A broker that comes back after kill -9 may write the end of a transaction into its coordinator's log
and no markers, or not all, into the partitions: between two versions of the metadata it takes them
for deleted (Kafka 4.3.1: "likely deleted already and hence can be skipped"). Records, and the
cursor, then stay open until the producer's next transaction takes them along, whatever had been
decided of them. So before a forwarder reads the cursor it has a transaction without records put a
marker into every partition, with the decision that the coordinator had taken
(docs/decisions/0017-open-transactions.md).
"""

import asyncio

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
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
from aiokafka.structs import OffsetAndMetadata

from schemas.clients import kafka_failures, started
from schemas.topics import CALLBACKS, DEAD_LETTERS

SETTLE_S = 8.0
ASK_S = 30.0
ASK_AGAIN_S = 0.05
# Of a transaction that is under way: the start of the next producer aborts it.
_ABORTED = ("Ongoing", "PrepareAbort", "CompleteAbort", "PrepareEpochFence")
_NO_ERROR, _NOT_FOUND = 0, 105


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
    """KIP-664's DescribeTransactions, which aiokafka does not have."""

    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(self, request_struct_class: type[_DescribeV0]) -> _DescribeV0:
        """Return what is sent."""
        return request_struct_class([self._transactional_id], {})


async def was_aborted(bootstrap_servers: str, transactional_id: str) -> bool:
    """
    Tell how the last transaction ended or will end: aborted, or else committed, or there was none.

    To be asked before the next producer starts, which makes the coordinator forget it.

    Raises:
        KafkaError: the coordinator does not say.
        TimeoutError: nor does it within ASK_S.
    """
    return await _state(bootstrap_servers, transactional_id) in _ABORTED


async def ended(bootstrap_servers: str, transactional_id: str) -> None:
    """
    Return when the markers of the last transaction are written.

    A producer is told of the end when that is decided; until its marker is written, the cursor's
    group tells the offset before it.

    Raises:
        KafkaError: the coordinator does not say.
        TimeoutError: nor does it, or they are not written, within ASK_S.
    """
    async with asyncio.timeout(ASK_S):
        while (  # noqa: ASYNC110 - a broker writes them
            await _state(bootstrap_servers, transactional_id)
        ).startswith("Prepare"):
            await asyncio.sleep(ASK_AGAIN_S)


async def _state(bootstrap_servers: str, transactional_id: str) -> str:
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    async with started(client, ASK_S), asyncio.timeout(ASK_S):
        with kafka_failures():
            coordinator = await client.coordinator_lookup(
                CoordinationType.TRANSACTION, transactional_id
            )
            described = await client.send(
                coordinator, _Describe(transactional_id), group=ConnectionGroup.COORDINATION
            )
    error, _, state, *_ = described.states[0]
    if error not in (_NO_ERROR, _NOT_FOUND):
        raise KafkaError(f"the transaction's coordinator says {for_code(error).__name__}")
    return str(state)


async def settle(producer: AIOKafkaProducer, group: str, *, abort: bool) -> None:
    """
    Have nothing of earlier transactions of this producer open in any partition, nor in `group`.

    Raises:
        KafkaError: a topic is missing, or Kafka refuses.
        TimeoutError: it takes more than SETTLE_S.
    """
    async with asyncio.timeout(SETTLE_S):
        partitions = [
            TopicPartition(topic, number)
            for topic in (CALLBACKS.name, DEAD_LETTERS.name)
            for number in await producer.partitions_for(topic)
        ]
        await producer.begin_transaction()
        # The group is added with an offset alone; nobody reads this one. It comes first: if this is
        # cut short, what was added is aborted, and a lost cursor doubles rows where lost records
        # would be a loss.
        unread = {TopicPartition(DEAD_LETTERS.name, 0): OffsetAndMetadata(0, "")}
        await producer.send_offsets_to_transaction(unread, group)
        for partition in partitions:
            # aiokafka adds a partition with a record alone.
            producer._txn_manager.maybe_add_partition_to_txn(partition)  # noqa: SLF001
        await (producer.abort_transaction() if abort else producer.commit_transaction())
