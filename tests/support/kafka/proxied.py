"""A broker that clients reach only by a proxy, and a check for what they leave open."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from support.awake import awake_timeout
from support.kafka.access import plaintext
from support.kafka.broker import FEW_THREADS, session
from support.kafka.tcp_proxy import tcp_proxy

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics

# For a busy machine; far below the 40 s after which a request without an answer ends by itself.
ENDS_S_MAX = 20.0
LOOPS: dict[str, Callable[[Awaitable[None]], None]] = {
    "asyncio": asyncio.run,  # type: ignore[dict-item]
    "uvloop": uvloop.run,  # type: ignore[dict-item]
}


class ProxiedKafka(NamedTuple):
    """A broker that is reached only by a proxy: it advertises the proxy's address."""

    port: int
    proxy_port: int

    @property
    def address(self) -> str:
        """The address that clients connect to."""
        return f"127.0.0.1:{self.proxy_port}"


@contextlib.contextmanager
def kafka_behind_a_proxy(directory: Path) -> Iterator[ProxiedKafka]:
    """Run a broker with the topics during the block; each test runs its own proxy."""
    proxy_port = child.free_port()
    advertised = f"advertised.listeners=PLAINTEXT://127.0.0.1:{proxy_port}\n"
    kafka = EmbeddedKafka(directory, properties=session() + FEW_THREADS + advertised)
    proxied = ProxiedKafka(kafka.port, proxy_port)

    async def make_topics() -> None:
        async with tcp_proxy(proxied.port, proxied.proxy_port):
            await apply_topics(plaintext(proxied.address), body_bytes_max=1 << 20, replicas=1)

    with child.running(kafka):
        asyncio.run(make_topics())
        yield proxied


class Watch:
    """The complaints of an event loop, and what clients leave open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.complaints: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.complaints.append(str(context))
        )

    async def assert_nothing_left(self, what: str) -> None:
        """Assert that no task, connection or unretrieved exception is left."""
        gc.collect()
        left: list[str] = []
        try:
            async with awake_timeout(ENDS_S_MAX):
                while left := self._left():  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError((what, left)) from None
        gc.collect()
        await asyncio.sleep(0)
        assert self.complaints == [], (what, self.complaints[:3])

    def _left(self) -> list[str]:
        return [*_tasks_of_aiokafka(), *_connections_to(self._port)]


def _tasks_of_aiokafka() -> list[str]:
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    return [str(each) for each in coroutines if "aiokafka" in each.cr_code.co_filename]


def _connections_to(port: int) -> list[str]:
    """Return this process's connections to `port`, but not those of the broker to itself."""
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
