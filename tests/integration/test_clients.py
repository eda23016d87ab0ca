"""A Kafka client ends in time, in any state and with any inner_client, and leaves nothing open."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from support.awake import awake_timeout
from support.kafka.client_states import STATES, State
from support.kafka.proxied import LOOPS, ProxiedKafka, Watch, kafka_behind_a_proxy
from support.kafka.tcp_proxy import Network, tcp_proxy

from schemas import clients
from schemas.client_parts import Client, ended_task, inner_client
from schemas.clients import close_client, started

pytestmark = pytest.mark.timeout(600)

NETWORKS = {
    "works": (Network.WORKS,),
    "swallows": (Network.SWALLOWS,),
    "refuses": (Network.REFUSES,),
    "refuses and works again": (Network.REFUSES, Network.WORKS),
}
STOP_S = 0.5
# Far below the 40 s of a request without an answer.
END_S_MAX = 20.0


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedKafka]:
    """Yield a broker with the topics, reached by a proxy."""
    with kafka_behind_a_proxy(tmp_path_factory.mktemp("kafka")) as proxied:
        yield proxied


@pytest.mark.parametrize("cancelled", [False, True], ids=["", "cancelled"])
@pytest.mark.parametrize("way", NETWORKS)
@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_ends_in_every_state(
    proxied: ProxiedKafka, loop: str, way: str, *, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's cancellation is raised at the end, one of aiokafka's own never."""
    monkeypatch.setattr(clients, "STOP_TIMEOUT_S", STOP_S)

    async def scene() -> None:
        watch = Watch(proxied.proxy_port)
        async with tcp_proxy(proxied.port, proxied.proxy_port) as proxy:
            made = [(state, state.make(proxied.address)) for state in STATES]
            await asyncio.gather(*(_prepare(*each) for each in made))
            for change in NETWORKS[way]:
                proxy.becomes(change)
            calls = [call for state, client in made for call in state.after(client)]
            # How they end is not what is tested.
            calling = [asyncio.ensure_future(_forgive(call)) for call in calls]
            await asyncio.sleep(0.05)
            await asyncio.gather(*(_end_in_time(*each, cancelled=cancelled) for each in made))
            for call in calling:
                call.cancel()
            await asyncio.gather(*calling, return_exceptions=True)
            await watch.assert_nothing_left(way)

    LOOPS[loop](scene())


@pytest.mark.parametrize("cancelled", [False, True], ids=["", "cancelled"])
@pytest.mark.parametrize("way", ["swallows", "refuses"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_cannot_start_leaves_nothing(
    proxied: ProxiedKafka, loop: str, way: str, *, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting fails in time."""
    monkeypatch.setattr(clients, "STOP_TIMEOUT_S", STOP_S)
    made_by = {state.make for state in STATES}

    async def start(make: Callable[[str], Client]) -> None:
        with pytest.raises((KafkaError, TimeoutError)):
            async with started(make(proxied.address), 0.5):
                raise AssertionError("it has started")

    async def scene() -> None:
        watch = Watch(proxied.proxy_port)
        async with tcp_proxy(proxied.port, proxied.proxy_port) as proxy:
            proxy.becomes(*NETWORKS[way])
            starting = [asyncio.create_task(start(make)) for make in made_by]
            if cancelled:
                await asyncio.sleep(0.01)
                for task in starting:
                    task.cancel()
            async with awake_timeout(END_S_MAX):
                ended = await asyncio.gather(*starting, return_exceptions=True)
            allowed = asyncio.CancelledError if cancelled else ()
            assert all(each is None or isinstance(each, allowed) for each in ended), ended
            await watch.assert_nothing_left(way)

    LOOPS[loop](scene())


def test_a_closed_transport_ends_a_task_and_nothing_else(proxied: ProxiedKafka) -> None:
    """
    A connection is cut within an answer, and the next request is sent in the same turn of the loop.

    There uvloop raises RuntimeError, and aiokafka expects OSError alone: the task that updates the
    metadata dies, and so do all calls that wait for an update.
    """
    died: list[BaseException | None] = []

    async def scene() -> None:
        watch = Watch(proxied.proxy_port)
        async with tcp_proxy(proxied.port, proxied.proxy_port):
            for steps in range(8):
                consumer = AIOKafkaConsumer(bootstrap_servers=proxied.address)
                async with started(consumer, 180):
                    inner = inner_client(consumer)
                    # It makes the connection that the next update will use.
                    await inner.force_metadata_update()
                    _later(steps, lambda inner=inner: _abort(inner))  # type: ignore[misc]
                    inner.force_metadata_update()
                    await asyncio.sleep(0.1)
                    if (part := ended_task(consumer)) is not None:
                        assert part[0] == "updates metadata"
                        died.append(part[1])
            await watch.assert_nothing_left("closed transports")

    LOOPS["uvloop"](scene())
    assert any(isinstance(error, RuntimeError) for error in died), died


def _later(steps: int, call: Callable[[], None]) -> None:
    """Call it after so many turns of the loop, before anything scheduled from now on."""
    if steps:
        asyncio.get_running_loop().call_soon(_later, steps - 1, call)
    else:
        call()


def _abort(inner: AIOKafkaClient) -> None:
    for connection in inner._conns.values():  # noqa: SLF001
        connection._reader.feed_data(b"\0\0")  # noqa: SLF001 - the first half of a length
        connection._writer.transport.abort()  # noqa: SLF001


async def _prepare(state: State, client: Client) -> None:
    inner: Any = client
    async with asyncio.timeout(180):
        await (inner.start() if hasattr(inner, "start") else inner.bootstrap())
        await state.before(client)


async def _forgive(call: Awaitable[Any]) -> None:
    with contextlib.suppress(Exception):
        await call


async def _end_in_time(state: State, client: Client, *, cancelled: bool) -> None:
    ending = asyncio.create_task(close_client(client))
    if cancelled:
        await asyncio.sleep(0.001)
        ending.cancel()
    # Many times what a client is given; a client that is not cut would wait for its broker.
    async with awake_timeout(20 * (STOP_S + clients.CLOSE_TIMEOUT_S)):
        (raised,) = await asyncio.gather(ending, return_exceptions=True)
    if ending.cancelled():
        assert cancelled, f"{state.name} let a cancellation out"
    else:
        assert raised is None, (state.name, raised)
