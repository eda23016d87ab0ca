"""
Start and close aiokafka's clients, even if the broker is unreachable or our task is cancelled.

A client's own stop() waits for the broker and raises the exceptions of its tasks. If a timeout
cancels it, its tasks and connections stay: more of them with every attempt during an outage.
"""

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Iterator
from traceback import walk_tb
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

from schemas import client_parts
from schemas.client_parts import Client
from schemas.credential_watch import watch_credentials
from schemas.kafka_access import KafkaAccess
from schemas.kafka_denials import denial_of
from schemas.kafka_outage import ExplainedFailure, KafkaUnreachable, NoBrokerListed
from schemas.kafka_probe import why_unreachable
from schemas.unread_failures import expect_unread_failures

log = logging.getLogger(__name__)

# A client that reaches the broker stops within STOP_TIMEOUT_S; then its remaining tasks and
# connections are cancelled and closed within CLOSE_TIMEOUT_S.
STOP_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
CLOSE_RETRY_INTERVAL_S = 0.02
LIST_INTERVAL_S = 0.2
# A client that has run for so long has used the brokers' addresses, so they are no wrong settings.
SETTINGS_PROVEN_S = 60.0
# Exceptions that aiokafka raises, besides KafkaError, when a connection breaks: a transport that
# uvloop has closed (aiokafka#1038), a connection or a broker that is no longer in a table, an
# answer that is cut off. docs/decisions/0008-group-client.md has the places.
BREAKAGES = (
    RuntimeError,
    OSError,
    EOFError,
    AssertionError,
    LookupError,
    AttributeError,
    ValueError,
    struct.error,
    asyncio.InvalidStateError,
)

SomeClient = TypeVar("SomeClient", bound=Client)


def is_cancelled() -> bool:
    """Return whether the cancellation of this task was requested."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def check_cancellation() -> None:
    """
    Raise CancelledError if the cancellation of this task was requested, but swallowed.

    Until Python 3.12, `asyncio.wait_for` drops a cancellation that comes together with the result;
    valkey-py and psycopg use it. So every loop over their calls, or aiokafka's, checks this.
    """
    if is_cancelled():
        raise asyncio.CancelledError


@contextlib.contextmanager
def kafka_failures() -> Iterator[None]:
    """
    Raise KafkaError in place of BREAKAGES, and of a cancellation that was not requested.

    aiokafka cancels tasks of its own, and its callers see that as a cancellation. The block may
    contain other code: an exception that did not come through aiokafka is raised as it is.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise KafkaError("the client has cancelled a task of its own") from error
    except (KafkaError, TimeoutError):
        raise
    except BREAKAGES as error:
        if not _came_through_aiokafka(error):
            raise
        raise KafkaError(f"the client has failed: {error!r}") from error


def _came_through_aiokafka(error: Exception) -> bool:
    modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(module.partition(".")[0] == "aiokafka" for module in modules)


@contextlib.asynccontextmanager
async def started(
    client: SomeClient, seconds: float, kafka: KafkaAccess | None = None, *, probes: bool = True
) -> AsyncIterator[SomeClient]:
    """
    Start `client` and yield it; nothing of it is left on exit.

    If `kafka` is given, the client uses the current content of its files for new connections.
    Without `probes` no cause is looked for, which takes longer than the start.

    Raises:
        KafkaUnreachable: it cannot be used with its settings; the text has the cause.
        NoBrokerListed: Kafka answers, but has listed no broker for half of `seconds`.
        NotAuthorized: Kafka refused what the block asked for; the text has the resource.
        KafkaError: it could not start, or failed in the block, with whatever exception of its own.
        TimeoutError: it did not start within `seconds`.
    """
    loop = asyncio.get_running_loop()
    expect_unread_failures(loop)
    inner = client_parts.inner_client(client)
    clock = loop.time
    started_at: float | None = None
    try:
        with kafka_failures():
            async with _running(client, seconds, kafka):
                started_at = clock()
                yield client
    except (KafkaConnectionError, NodeNotReadyError, TimeoutError) as error:
        # The addresses of brokers are used only after the start.
        is_cause_unknown = started_at is None or (
            isinstance(error, NodeNotReadyError) and clock() - started_at < SETTINGS_PROVEN_S
        )
        if probes and is_cause_unknown and (cause := await why_unreachable(inner, error)):
            raise KafkaUnreachable(cause) from error
        raise
    except ExplainedFailure:
        raise
    except KafkaError as error:
        if denial := denial_of(error, inner):
            raise denial from error
        raise


@contextlib.asynccontextmanager
async def _running(
    client: Client, seconds: float, kafka: KafkaAccess | None
) -> AsyncIterator[None]:
    # In a task of its own: if our cancellation reached the client, the client would leave a
    # connection open.
    inner: Any = client
    starting: asyncio.Task[Any] = asyncio.create_task(
        inner.bootstrap() if isinstance(client, AIOKafkaClient) else inner.start()
    )
    watching = asyncio.create_task(watch_credentials(client, kafka)) if kafka else None
    try:
        await asyncio.wait((starting,), timeout=seconds)
        if not starting.done():
            raise TimeoutError(f"Kafka does not answer within {seconds:g} s")
        starting.result()
        await _wait_for_brokers(client, seconds / 2)
        yield
    finally:
        if watching is not None:
            watching.cancel()
        await close_client(client, starting)


async def _wait_for_brokers(client: Client, seconds: float) -> None:
    """
    Return once Kafka lists a broker: a client without one waits, or raises exceptions of its own.

    A broker that has just started, or that was frozen, is listed after its next heartbeat.
    """
    inner = client_parts.inner_client(client)
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while not inner.cluster.brokers():
        check_cancellation()
        # aiokafka reads the refusal of a token as an empty list: the probe tells which it is.
        if clock() > deadline or client_parts.uses_tokens(inner):
            raise NoBrokerListed(client_parts.addresses_of(client))
        await asyncio.wait((inner.force_metadata_update(),), timeout=deadline - clock())
        await asyncio.sleep(LIST_INTERVAL_S)


async def close_client(client: Client, starting: "asyncio.Task[Any] | None" = None) -> None:
    """
    Return when no task or connection of `client` is left, within STOP_TIMEOUT_S + CLOSE_TIMEOUT_S,
    or CLOSE_TIMEOUT_S more if `starting` has not ended.

    A transaction stays as it is. All code closes clients by this function, in any state. A
    cancellation of the caller is raised afterwards; no other exception is raised. `starting` is the
    task that starts the client.
    """
    # In a task of its own: a cancellation inside must not be mistaken for one of the caller.
    ending = asyncio.create_task(_close(client, starting))
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.wait((ending,))
        except asyncio.CancelledError as error:
            cancelled = error
    ending.result()
    if cancelled is not None:
        raise cancelled


async def _close(client: Client, starting: "asyncio.Task[Any] | None") -> None:
    if starting is not None and not starting.done():
        await _close_now(client, {starting})
    inner: Any = client
    closes = isinstance(client, AIOKafkaClient | AIOKafkaAdminClient)
    stopping: asyncio.Task[Any] = asyncio.create_task(inner.close() if closes else inner.stop())
    await asyncio.wait((stopping,), timeout=STOP_TIMEOUT_S)
    if not stopping.done():
        log.debug(
            "a client of Kafka does not stop within %g s; its connections are closed now",
            STOP_TIMEOUT_S,
        )
    client_parts.forget_brokers(client)
    await _close_now(client, {stopping})
    if isinstance(client, AIOKafkaProducer):
        client_parts.fail_waiting_batches(client)


async def _close_now(client: Client, other_tasks: set["asyncio.Task[Any]"]) -> None:
    """Cancel all tasks and close all connections of `client`, within CLOSE_TIMEOUT_S."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + CLOSE_TIMEOUT_S
    ended_tasks = set(other_tasks)
    while True:
        tasks = client_parts.tasks(client) | {task for task in other_tasks if not task.done()}
        connections = client_parts.all_connections(client)
        if not tasks and not connections:
            break
        if clock() > deadline:
            log.error("a client of Kafka does not end: %s, %s", tasks, connections)
            break
        ended_tasks |= tasks
        for task in tasks:
            task.cancel()
        for connection in connections:
            client_parts.close_now(connection)
        await asyncio.sleep(CLOSE_RETRY_INTERVAL_S)
    for task in ended_tasks:
        if (error := client_parts.mark_retrieved(task)) is not None:
            expected = isinstance(error, KafkaError | TimeoutError)
            level = logging.DEBUG if expected else logging.WARNING
            log.log(level, "a client of Kafka ended with %r", error)
