"""Acts of tests of ACLs: apply tables, list and add ACLs, try to read, write and commit."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest
from support.acls.principals import access_of
from support.kafka.access import plaintext
from support.kafka.secured import SecuredBroker

from ops.acls.apply import apply_acls
from ops.acls.entry import AclEntry
from ops.acls.plan import AclPlan
from ops.acls.record import AclRecord, recording
from ops.acls.record_topic import ensure_record_topic
from ops.acls.requests import cluster_id, create_acls, delete_acls, list_acls
from ops.acls.table import AclTable, Subscriber
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_outage import NotAuthorized
from schemas.topics import CALLBACKS


@contextlib.asynccontextmanager
async def admin(broker: SecuredBroker) -> AsyncIterator[AIOKafkaClient]:
    """Yield a client with every right."""
    async with started(AIOKafkaClient(**access_of(broker).options()), 180) as client:
        yield client


async def listed(broker: SecuredBroker) -> set[AclEntry]:
    """Return all ACLs."""
    async with admin(broker) as client:
        return (await list_acls(client)).by_all


@contextlib.asynccontextmanager
async def record_of(broker: SecuredBroker) -> AsyncIterator[AclRecord]:
    """Yield the record, as a command does that begins."""
    kafka = access_of(broker)
    await ensure_record_topic(kafka, 1)
    async with admin(broker) as client:
        cluster = await cluster_id(client)
    async with recording(kafka, cluster) as record:
        yield record


async def remove(broker: SecuredBroker, entries: set[AclEntry]) -> None:
    """Delete ACLs as others do, and return when the broker does not list them."""
    async with admin(broker) as client:
        await delete_acls(client, entries)
        while entries & (await list_acls(client)).by_any:  # noqa: ASYNC110 - the broker says it
            await asyncio.sleep(0.02)


async def add_foreign(broker: SecuredBroker, entries: set[AclEntry]) -> None:
    """Create ACLs as others do, and return when the broker lists them."""
    async with admin(broker) as client:
        await create_acls(client, entries)
        while not entries <= (await list_acls(client)).by_all:  # noqa: ASYNC110 - the broker says it
            await asyncio.sleep(0.02)


async def apply_table(
    broker: SecuredBroker, table: AclTable, *, allows_deletion: bool = True
) -> AclPlan:
    """Apply a table as the user with every right."""
    return await apply_acls(
        access_of(broker), table.entries(plaintext("")), allows_deletion=allows_deletion, replicas=1
    )


@contextlib.contextmanager
def refused(kind: type[KafkaError], name: str) -> Iterator[None]:
    """Expect that Kafka does not authorize what the block asks for, and that the error names it."""
    with pytest.raises(KafkaError) as caught:
        yield
    error = caught.value.__cause__ if isinstance(caught.value, NotAuthorized) else caught.value
    assert isinstance(error, kind), caught.value
    assert name in str(caught.value)


def subscribing(user: str) -> AclTable:
    """Return a table with one subscriber."""
    return AclTable(subscribers=[Subscriber(f"User:{user}", [CALLBACKS.name], f"{user}-")])


async def send(kafka: KafkaAccess, topic: str, **options: Any) -> None:
    """Send a record."""
    async with started(AIOKafkaProducer(**kafka.options(), **options), 180) as producer:
        if "transactional_id" in options:
            async with producer.transaction():
                await producer.send_and_wait(topic, b"{}")
        else:
            await producer.send_and_wait(topic, b"{}")


async def receive(kafka: KafkaAccess, topic: str, group: str | None) -> int:
    """Read a record, commit its offset if there is a group, and return the offset."""
    reader = AIOKafkaConsumer(
        topic,
        **kafka.options(),
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    async with started(reader, 180):
        offset: int = (await reader.getone()).offset
        if group is not None:
            await reader.commit()
    return offset


async def commit(kafka: KafkaAccess, group: str) -> None:
    """Commit an offset of `group`, without joining it."""
    client = AIOKafkaConsumer(**kafka.options(), group_id=group, enable_auto_commit=False)
    async with started(client, 180):
        partition = TopicPartition(CALLBACKS.name, 0)
        client.assign([partition])
        await client.commit({partition: 0})


async def delete_group(kafka: KafkaAccess, group: str) -> None:
    """Delete `group`, or raise why that is refused."""
    async with started(AIOKafkaClient(**kafka.options()), 180) as client:
        node = client.get_random_node()
        assert node is not None
        response: Any = await client.send(node, DeleteGroupsRequest([group]))
    ((_, code),) = response.results
    if code:
        raise for_code(code)(group)
