"""The public port: it listens, bounds its connections in number and time, and drains."""

import asyncio
import itertools

from ingress.http.aiohttp_fallback import AiohttpFallback
from ingress.http.answer_sender import AnswerSender
from ingress.http.connection import Connection
from ingress.http.failure_log import FailureLog
from ingress.http.open_connections import OpenConnections
from ingress.http.receiver import Receiver
from ingress.settings import IngressSettings

# Connections that the kernel accepts before the process does.
BACKLOG = 1024
# Interval at which late connections are closed.
CLOSE_INTERVAL_S = 0.1
# While the port drains, requests under way have DRAIN_TIMEOUT_S to be answered. The port is drained
# when QUIET_CHECKS checks in a row find all connections waiting for the head of a request: the
# kernel may hold one that was not read yet. Checks, not seconds: time also passes while the process
# is suspended and reads nothing, but each check comes after a turn of the event loop, which reads.
DRAIN_TIMEOUT_S = 5.0
QUIET_CHECKS = 100
CHECK_INTERVAL_S = 0.005


class PublicServer:
    """The server of the public port, for at most `connections_max` connections."""

    def __init__(
        self,
        receiver: Receiver,
        failure_log: FailureLog,
        settings: IngressSettings,
        *,
        body_bytes_max: int,
    ) -> None:
        self.open_connections = OpenConnections(settings.connections_max)
        # True once the process has begun to stop: /readyz reports it immediately, but new
        # connections are accepted for some more seconds.
        self.announces_stop = False
        self._receiver = receiver
        self.answer_sender = AnswerSender(failure_log)
        self._settings = settings
        self._body_bytes_max = body_bytes_max
        self._aiohttp_fallback = AiohttpFallback(
            receiver,
            self.answer_sender,
            self.open_connections,
            settings,
            body_bytes_max=body_bytes_max,
        )
        self._loop = asyncio.get_running_loop()
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """
        Accept connections; return the address, which has the port if `port` was 0.

        Raises:
            OSError: the port is in use, or the host is not one of this machine.
        """
        self._listener = await self._loop.create_server(self._accept, host, port, backlog=BACKLOG)
        address: tuple[str, int] = self._listener.sockets[0].getsockname()[:2]
        return address

    async def close_late_connections(self) -> None:
        """Until cancelled, abort idle connections and answer requests whose bodies are late."""
        while True:
            await asyncio.sleep(CLOSE_INTERVAL_S)
            now = self._loop.time()
            for connection in _late(self.open_connections.idle, now - self._settings.keepalive_s):
                connection.abort()
            for waiting in (self.open_connections.receiving_body, self.open_connections.discarding):
                for connection in _late(waiting, now - self._settings.body_s):
                    connection.time_out()

    def stop_listening(self) -> None:
        """Accept no more connections."""
        if self._listener:
            self._listener.close()

    async def drain(self) -> None:
        """
        Close each connection after its next answer; return when all have waited for a request.

        While one receives, answers or discards a request, it returns once DRAIN_TIMEOUT_S are over
        and QUIET_CHECKS checks were made, which takes longer if the process is suspended. The end
        of a body whose head was read is still read, and its callback stored.
        """
        self.open_connections.is_draining = True
        deadline = self._loop.time() + DRAIN_TIMEOUT_S
        checks = quiet_checks = 0
        while quiet_checks < QUIET_CHECKS and (
            checks < QUIET_CHECKS or self._loop.time() < deadline
        ):
            await asyncio.sleep(CHECK_INTERVAL_S)
            checks += 1
            quiet_checks = quiet_checks + 1 if self.open_connections.is_quiet else 0

    def close(self) -> None:
        """Close all connections."""
        self.stop_listening()
        for connection in tuple(self.open_connections.all):
            connection.close()

    def _accept(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self._receiver,
            self.answer_sender,
            self.open_connections,
            self._aiohttp_fallback.open_protocol,
            body_bytes_max=self._body_bytes_max,
        )


def _late(since: dict[Connection, float], before: float) -> list[Connection]:
    """Return the connections that wait since `before` or longer; the first one waits longest."""
    waiting = itertools.takewhile(lambda entry: entry[1] <= before, since.items())
    return [connection for connection, _ in waiting]
