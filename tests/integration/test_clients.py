"""A client of Kafka ends in time, whatever its state and the network's, and leaves nothing."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop
from client_states import STATES, State
from tcp_proxy import Network, tcp_proxy

from ops.embedded import child
from ops.embedded.kafka import EmbeddedKafka
from ops.topics import apply_topics
from schemas import clients
from schemas.client_parts import Client
from schemas.clients import end

pytestmark = pytest.mark.timeout(180)

LOOPS: dict[str, Callable[[Awaitable[None]], None]] = {
    "asyncio": asyncio.run,  # type: ignore[dict-item]
    "uvloop": uvloop.run,  # type: ignore[dict-item]
}
NETWORKS = {
    "works": (Network.WORKS,),
    "swallows": (Network.SWALLOWS,),
    "refuses": (Network.REFUSES,),
    "refuses and works again": (Network.REFUSES, Network.WORKS),
}
STOP_S = 0.5


class Behind(NamedTuple):
    """A broker that is reached by a proxy alone: the address that it gives is the proxy's."""

    port: int
    proxy_port: int

    @property
    def address(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.proxy_port}"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A broker with the topics."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    proxied = Behind(kafka.port, child.free_port())
    with kafka._properties.open("a") as properties:  # noqa: SLF001 - no other test needs it
        properties.write(f"advertised.listeners=PLAINTEXT://{proxied.address}\n")

    async def make_topics() -> None:
        async with tcp_proxy(proxied.port, proxied.proxy_port):
            await apply_topics(proxied.address, body_bytes_max=1 << 20, replicas=1)

    with child.running(kafka):
        asyncio.run(make_topics())
        yield proxied


class Watch:
    """What a loop complains of, and what is left of clients."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.complaints.append(str(context))
        )

    async def assert_nothing_left(self, what: str) -> None:
        """No task, no connection, nothing that was never retrieved."""
        gc.collect()
        deadline = time.monotonic() + 2
        while left := [*_tasks_of_aiokafka(), *_connections_to(self._port)]:
            assert time.monotonic() < deadline, (what, left)
            await asyncio.sleep(0.01)
        gc.collect()
        await asyncio.sleep(0)
        assert self.complaints == [], what


def _tasks_of_aiokafka() -> list[str]:
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    return [str(each) for each in coroutines if "aiokafka" in each.cr_code.co_filename]


def _connections_to(port: int) -> list[str]:
    """Return the connections of this process to a port. The broker has some to itself."""
    mine = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            mine.add(str(fd.readlink()))
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return [
        f"a connection in state {line[3]}"
        for line in lines
        if line[2].endswith(f":{port:04X}") and f"socket:[{line[9]}]" in mine
    ]


@pytest.mark.parametrize("cancelled", [False, True], ids=["", "cancelled"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_ends_in_every_state(
    behind: Behind, loop: str, network: str, *, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time; a cancellation of the caller comes out afterwards, one of aiokafka's own never."""
    monkeypatch.setattr(clients, "STOP_S", STOP_S)

    async def scene() -> None:
        watch = Watch(behind.proxy_port)
        async with tcp_proxy(behind.port, behind.proxy_port) as proxy:
            made = [(state, state.make(behind.address)) for state in STATES]
            await asyncio.gather(*(_prepare(*each) for each in made))
            for change in NETWORKS[network]:
                proxy.becomes(change)
            calls = [call for state, client in made for call in state.after(client)]
            # How they end is not what is tested.
            calling = [asyncio.ensure_future(_forgive(call)) for call in calls]
            await asyncio.sleep(0.05)
            await asyncio.gather(*(_end_in_time(*each, cancelled=cancelled) for each in made))
            for call in calling:
                call.cancel()
            await asyncio.gather(*calling, return_exceptions=True)
            await watch.assert_nothing_left(network)

    LOOPS[loop](scene())


async def _prepare(state: State, client: Client) -> None:
    inner: Any = client
    async with asyncio.timeout(30):
        await (inner.start() if hasattr(inner, "start") else inner.bootstrap())
        await state.before(client)


async def _forgive(call: Awaitable[Any]) -> None:
    with contextlib.suppress(Exception):
        await call


async def _end_in_time(state: State, client: Client, *, cancelled: bool) -> None:
    begun = time.monotonic()
    ending = asyncio.create_task(end(client))
    if cancelled:
        await asyncio.sleep(0.001)
        ending.cancel()
    (raised,) = await asyncio.gather(ending, return_exceptions=True)
    took_s = time.monotonic() - begun
    if ending.cancelled():
        assert cancelled, f"{state.name} let a cancellation out"
    else:
        assert raised is None, (state.name, raised)
    assert took_s < STOP_S + clients.CUT_S, (state.name, took_s)
