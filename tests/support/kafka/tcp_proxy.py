"""A TCP proxy between a client and a server: a network that tests may disturb."""

import asyncio
import contextlib
import enum
import random
from collections import deque
from collections.abc import AsyncIterator

from ops.demo.embedded import child

CHUNK = 1 << 16


class Network(enum.Enum):
    """The ways in which the network treats connections and their bytes."""

    WORKS = enum.auto()
    REFUSES = enum.auto()  # every connection is closed at once, those that are open too
    SWALLOWS = enum.auto()  # nothing passes, and neither side learns of it
    LOSES_ANSWERS = enum.auto()  # a connection ends within the answer to every second PUT
    CUTS = enum.auto()  # a connection ends, or stalls, after a random number of bytes


class TcpProxy:
    """
    A proxy, made by `tcp_proxy`, that counts its disturbances.

    `lost` counts the answers that were cut, `swallowed` the pieces of requests that did not pass.
    While the network CUTS, `chance` draws after how many bytes a connection is cut, `cuts` counts
    these, and `stall_rate` is the share of connections that stall instead.
    """

    def __init__(self, target: int, port: int | None = None) -> None:
        self.port = port or child.free_port()
        self.chance = random.Random(20_240_229)  # noqa: S311 - no secret
        self.cuts = self.stalls = 0
        self.stall_rate = 0.0
        self.url = f"http://127.0.0.1:{self.port}"
        self.lost = 0
        # Set while a connection is open that is never answered.
        self.hanging = asyncio.Event()
        self._hangs_next = False
        self.swallowed = 0
        # The bytes that each connection from now on sends to the server in a second; None: all.
        self.rate: float | None = None
        self._target = target
        self._puts = 0
        self._network = Network.WORKS
        self._writers: set[asyncio.StreamWriter] = set()

    def becomes(self, network: Network) -> None:
        """Change the network, also for open connections."""
        self._network = network
        if network is Network.REFUSES:
            for writer in self._writers:
                writer.transport.abort()

    def hang_next(self) -> None:
        """Never answer the next connection; later ones work."""
        self._hangs_next = True

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        if self._network is Network.REFUSES:
            writer.transport.abort()
            return
        if self._hangs_next:
            self._hangs_next = False
            self.hanging.set()
            self._writers.add(writer)
            with contextlib.suppress(OSError):
                while await reader.read(CHUNK):
                    pass
            self._writers.discard(writer)
            self.hanging.clear()
            writer.transport.abort()
            return
        upstream = await asyncio.open_connection("127.0.0.1", self._target)
        both = {writer, upstream[1]}
        self._writers |= both
        connection = _Connection(self)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(connection.requests(reader, upstream[1]))
                ways.create_task(connection.answers(upstream[0], writer))
        except* OSError:
            pass
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    def loses_this(self) -> bool:
        """Return whether the answer to the PUT that has just begun is to be lost."""
        self._puts += self._network is Network.LOSES_ANSWERS
        return self._network is Network.LOSES_ANSWERS and self._puts % 2 == 1

    @property
    def network(self) -> Network:
        """Return the present network."""
        return self._network


class _Connection:
    """Both directions of a connection. In HTTP/1.1 answers come in the order of the requests."""

    def __init__(self, proxy: TcpProxy) -> None:
        self._proxy = proxy
        self._loses = False
        # Most connections live long enough to have a request in flight.
        self._left = int(proxy.chance.choice((50, 500, 2_000, 10_000)) * proxy.chance.random())
        self._stalls = proxy.chance.random() < proxy.stall_rate
        self._is_cut = False
        self._rate = proxy.rate
        # With a rate: the pieces that are not sent yet, and when the last one of them is.
        self._unsent: deque[asyncio.TimerHandle] = deque()
        self._sent_at = 0.0

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._proxy.network is Network.SWALLOWS:
                self._proxy.swallowed += 1
                continue
            if self._proxy.network is Network.CUTS:
                data = self._what_passes(data)
            if data.startswith((b"GET ", b"PUT ", b"HEAD ")):
                self._loses = data.startswith(b"PUT ") and self._proxy.loses_this()
            if self._rate:
                self._send_later(data, writer, self._rate)
                continue
            writer.write(data)
            await writer.drain()
            if self._is_cut:
                break
        for each in self._unsent:
            each.cancel()
        writer.transport.abort()

    def _send_later(self, data: bytes, writer: asyncio.StreamWriter, rate: float) -> None:
        """Send `data` after all pieces before it, unless the client closes the connection."""
        loop = asyncio.get_running_loop()
        self._sent_at = max(self._sent_at, loop.time()) + len(data) / rate
        self._unsent.append(loop.call_at(self._sent_at, writer.write, data))

    async def answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._proxy.network is Network.SWALLOWS:
                continue
            if self._proxy.network is Network.CUTS:
                data = self._what_passes(data)
            if self._loses:
                self._proxy.lost += 1
                writer.write(data[:20])
                await writer.drain()
                writer.transport.abort()
                return
            writer.write(data)
            await writer.drain()
            if self._is_cut:
                break
        writer.transport.abort()

    def _what_passes(self, data: bytes) -> bytes:
        """Return the part of `data` that passes before the connection ends or stalls."""
        passes = data[: max(self._left, 0)]
        self._left -= len(data)
        if self._left < 0 <= self._left + len(data):
            self._is_cut = not self._stalls
            self._proxy.cuts += self._is_cut
            self._proxy.stalls += self._stalls
        return passes


@contextlib.asynccontextmanager
async def tcp_proxy(target: int, port: int | None = None) -> AsyncIterator[TcpProxy]:
    """Yield a proxy to a port on the loopback interface; it runs in the caller's event loop."""
    proxy = TcpProxy(target, port)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", proxy.port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.becomes(Network.REFUSES)
        await server.wait_closed()
