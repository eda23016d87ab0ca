"""Kafka clients in every state in which an outage or a cancellation can find them."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataRequest

from schemas.client_parts import Client
from schemas.topics import CALLBACKS, DEAD_LETTERS

PARTITION = TopicPartition(DEAD_LETTERS.name, 0)
_MAIN = TopicPartition(CALLBACKS.name, 0)
Calls = list[Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class State:
    """A state of a client: `before` the network changes, and the calls of `after`."""

    name: str
    make: Callable[[str], Client]
    before: Callable[[Any], Awaitable[object]]
    after: Callable[[Any], Calls]


class _Stuck(ConsumerRebalanceListener):
    """A listener whose revocation never ends."""

    def __init__(self) -> None:
        self.assigned = asyncio.Event()
        self.revoked = asyncio.Event()

    async def on_partitions_assigned(self, _: object) -> None:
        self.assigned.set()

    async def on_partitions_revoked(self, revoked: object) -> None:
        if revoked:
            self.revoked.set()
            await asyncio.Event().wait()


def _consumer(kafka: str, **more: Any) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=kafka,
        group_id=f"state-{secrets.token_hex(4)}",
        enable_auto_commit=False,
        auto_offset_reset="none",
        heartbeat_interval_ms=50,
        **more,
    )


def _producer(kafka: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True)


def _transactional(kafka: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=kafka, transactional_id=f"state-{secrets.token_hex(4)}"
    )


async def _nothing(_: object) -> None:
    pass


def _no_calls(_: object) -> Calls:
    return []


async def _assigned(consumer: AIOKafkaConsumer) -> None:
    consumer.assign([PARTITION])
    consumer.seek(PARTITION, 0)
    await consumer.getmany(timeout_ms=50)


async def _member(consumer: AIOKafkaConsumer) -> None:
    listener = _Stuck()
    consumer.subscribe([CALLBACKS.name], listener=listener)
    async with asyncio.timeout(180):
        await listener.assigned.wait()


async def _rebalancing(consumer: AIOKafkaConsumer) -> None:
    listener = _Stuck()
    consumer.subscribe([CALLBACKS.name], listener=listener)
    async with asyncio.timeout(180):
        await listener.assigned.wait()
        consumer._coordinator.request_rejoin()  # type: ignore[union-attr]  # noqa: SLF001
        await listener.revoked.wait()


def _joining(consumer: AIOKafkaConsumer) -> Calls:
    consumer.subscribe([CALLBACKS.name], listener=_Stuck())
    return []


async def _in_transaction(producer: AIOKafkaProducer) -> None:
    await producer.begin_transaction()
    await producer.send_and_wait(DEAD_LETTERS.name, b"x", partition=0)


async def _begun(producer: AIOKafkaProducer) -> None:
    await producer.begin_transaction()


async def _metadata(client: AIOKafkaClient) -> Any:
    return await client.send(client.get_random_node(), MetadataRequest(None))


async def _closed(client: Any) -> None:
    await (client.stop() if hasattr(client, "stop") else client.close())


def _admin(kafka: str) -> AIOKafkaAdminClient:
    return AIOKafkaAdminClient(bootstrap_servers=kafka)


def _plain(kafka: str) -> AIOKafkaClient:
    return AIOKafkaClient(bootstrap_servers=kafka)


def _one(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Calls]:
    return lambda client: [call(client)]


_COMMIT = _one(lambda producer: producer.commit_transaction())

STATES = [
    State("consumer, started", _consumer, _nothing, _no_calls),
    State("consumer, fetching", _consumer, _assigned, _one(lambda c: c.getmany(timeout_ms=9_000))),
    State("consumer, asking", _consumer, _assigned, _one(lambda c: c.end_offsets([PARTITION]))),
    State("consumer, joining", _consumer, _nothing, _joining),
    State("consumer, member", _consumer, _member, _one(lambda c: c.getmany(timeout_ms=9_000))),
    State("consumer, rebalancing", _consumer, _rebalancing, _one(lambda c: c.getmany())),
    State("consumer, committing", _consumer, _member, _one(lambda c: c.commit({_MAIN: 1}))),
    State("consumer, closed", _consumer, _closed, _no_calls),
    State("producer, idle", _producer, _nothing, _no_calls),
    State(
        "producer, sending",
        _producer,
        _nothing,
        _one(lambda p: p.send_and_wait(DEAD_LETTERS.name, b"x")),
    ),
    State("producer, in transaction", _transactional, _in_transaction, _no_calls),
    State(
        "producer, sending in transaction",
        _transactional,
        _begun,
        _one(lambda p: p.send_and_wait(DEAD_LETTERS.name, b"x", partition=0)),
    ),
    State(
        "producer, committing",
        _transactional,
        _in_transaction,
        _COMMIT,
    ),
    State("producer, closed", _producer, _closed, _no_calls),
    State(
        "admin, idle",
        _admin,
        _nothing,
        _no_calls,
    ),
    State(
        "admin, asking",
        _admin,
        _nothing,
        _one(lambda admin: admin.describe_topics()),
    ),
    State(
        "client, asking",
        _plain,
        _nothing,
        _one(_metadata),
    ),
    State(
        "client, without metadata",
        _plain,
        _nothing,
        _one(lambda client: client.force_metadata_update()),
    ),
    State("client, closed", _plain, _closed, _no_calls),
]
