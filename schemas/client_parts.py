"""
The tasks and connections of an aiokafka client, by its private names: it has no public ones.

`requirements/run.txt` pins aiokafka; tests/integration/test_clients.py fails if a name changes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import NoError, ProducerClosed, UnknownMemberIdError, for_code
from aiokafka.protocol.group import LeaveGroupRequest

from schemas.kafka_names import KafkaName

log = logging.getLogger(__name__)

Client = AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient | AIOKafkaClient
Task = asyncio.Task[Any]


def inner_client(client: Client) -> AIOKafkaClient:
    """Return the inner client of `client`, which has the connections."""
    if isinstance(client, AIOKafkaClient):
        return client
    if isinstance(client, AIOKafkaProducer):
        return client.client
    inner: AIOKafkaClient = client._client  # noqa: SLF001
    return inner


def connection_options(client: AIOKafkaClient) -> dict[str, Any]:
    """Return the keyword arguments of `create_conn` with which `client` connects."""
    names = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username")
    more = ("sasl_plain_password", "sasl_oauth_token_provider", "client_id", "request_timeout_ms")
    return {name: getattr(client, f"_{name}") for name in (*names, *more)}


def known_connections(producer: AIOKafkaProducer) -> list[AIOKafkaConnection]:
    """Return the connections of `producer`, open or not; see their `connected()`."""
    return list(inner_client(producer)._conns.values())  # noqa: SLF001


def uses_tokens(client: AIOKafkaClient) -> bool:
    """Return whether `client` authenticates by a token."""
    return bool(client._sasl_mechanism == "OAUTHBEARER")  # noqa: SLF001


def addresses_of(client: Client) -> str:
    """Return the addresses to which `client` connects first, as in the settings."""
    return ",".join(f"{host}:{port}" for host, port, _ in inner_client(client).hosts)


def tasks(client: Client) -> set[Task]:
    """
    Return the tasks of `client` that have not ended.

    The client keeps references to some of its tasks only. All of them run a method of one of its
    parts, so they are found by the `self` of their coroutine.
    """
    parts = _parts(client)
    return {task for task in asyncio.all_tasks() if parts & set(_selves(task, first=True))}


def all_connections(client: Client) -> set[AIOKafkaConnection]:
    """Return the open connections of `client`, and those that any task is opening for it."""
    parts = _parts(client) | {id(client)}
    known = set(inner_client(client)._conns.values())  # noqa: SLF001
    # A connection that is still opening exists only in a local variable.
    opening = {
        value
        for task in asyncio.all_tasks()
        if parts & set(_selves(task))
        for names in _names(task)
        for value in list(names.values())
        if isinstance(value, AIOKafkaConnection)
    }
    return {connection for connection in known | opening if _transport(connection) is not None}


def forget_brokers(client: Client) -> None:
    """Make `client` forget all brokers, so that a call that still runs connects to none."""
    inner_client(client).cluster = ClusterMetadata()


def close_now(connection: AIOKafkaConnection) -> None:
    """Close `connection` immediately, without writing what is buffered."""
    transport = _transport(connection)
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - a closed transport or loop; abort does the rest
        log.warning("closing a connection to Kafka raised %r", error)
    with contextlib.suppress(Exception):
        if transport is not None:
            transport.abort()


def ended_task(consumer: AIOKafkaConsumer) -> tuple[str, BaseException | None] | None:
    """
    Return the name and the error of an inner task that has ended although `consumer` runs.

    aiokafka does not report it: such a consumer would never return a record again.
    """
    inner: Mapping[str, Task | None] = {
        "fetches": getattr(getattr(consumer, "_fetcher", None), "_fetch_task", None),
        "updates metadata": getattr(getattr(consumer, "_client", None), "_sync_task", None),
        "keeps the membership": getattr(
            getattr(consumer, "_coordinator", None), "_coordination_task", None
        ),
    }
    for name, task in inner.items():
        if task is not None and task.done():
            return name, None if task.cancelled() else task.exception()
    return None


def group_of(consumer: AIOKafkaConsumer) -> KafkaName:
    """Return the group of `consumer`, which has one."""
    return KafkaName(consumer._group_id)  # noqa: SLF001


def member_id(consumer: AIOKafkaConsumer) -> str:
    """Return the id that the group's coordinator has given to `consumer`."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001
    return str(coordinator.member_id)


async def leave_group(consumer: AIOKafkaConsumer, group: KafkaName, member: str) -> None:
    """
    Remove `member` from `group`, as that member itself would.

    Raises:
        KafkaError: it is not known whether `member` is out.
    """
    inner = inner_client(consumer)
    coordinator = await inner.coordinator_lookup(CoordinationType.GROUP, group)
    request = LeaveGroupRequest(group, member)
    response = await inner.send(coordinator, request, group=ConnectionGroup.COORDINATION)
    error = for_code(response.error_code)
    if error not in (NoError, UnknownMemberIdError):
        raise error(group)


def fail_waiting_batches(producer: AIOKafkaProducer) -> None:
    """Fail the batches that will not be sent any more."""
    accumulator = producer._message_accumulator  # noqa: SLF001
    batches = [batch for queued in accumulator._batches.values() for batch in queued]  # noqa: SLF001
    batches += accumulator._pending_batches  # noqa: SLF001
    # A batch that fails is removed from the pending ones, so each must be among them.
    accumulator._pending_batches.update(batches)  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())


def mark_retrieved(future: "asyncio.Future[Any] | None") -> BaseException | None:
    """
    Keep asyncio from reporting the exception of `future` as never retrieved.

    Return the exception, None for a result and for a future that is not done.
    """
    if future is None or not future.done() or future.cancelled():
        return None
    return future.exception()


def use_credentials(client: Client, options: Mapping[str, Any]) -> None:
    """Have the next connections of `client` authenticate as `options` say, as of a new client."""
    inner: Any = inner_client(client)
    for name in ("ssl_context", "sasl_plain_username", "sasl_plain_password"):
        if name in options:
            setattr(inner, f"_{name}", options[name])


def _parts(client: Client) -> set[int]:
    inner = inner_client(client)
    parts: list[object] = [inner, *inner._conns.values()]  # noqa: SLF001
    if isinstance(client, AIOKafkaConsumer):
        parts += [client._fetcher, client._coordinator]  # noqa: SLF001
    elif isinstance(client, AIOKafkaProducer):
        parts += [client._sender, client._message_accumulator]  # noqa: SLF001
    return {id(part) for part in parts if part is not None}


def _selves(task: Task, *, first: bool = False) -> Iterator[int]:
    """Yield the ids of the objects of aiokafka whose methods `task` runs, or began with."""
    for names in _names(task, first=first):
        # A connection's reader has a weak reference instead of `self`.
        yield id(names["self_ref"]() if "self_ref" in names else names.get("self"))


def _names(task: Task, *, first: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield the local variables of the coroutines of aiokafka in `task`, outermost first."""
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and "aiokafka" in frame.f_code.co_filename:
            yield frame.f_locals
        if first:
            return
        coroutine = getattr(coroutine, "cr_await", None)


def _transport(connection: AIOKafkaConnection) -> asyncio.Transport | None:
    transport: asyncio.Transport | None = getattr(connection._protocol, "_transport", None)  # noqa: SLF001
    return transport
