"""
Count lost and repeated callbacks while Kafka and the server itself are killed under load.

Every server gets the same schedule under a steady load: Kafka is killed with SIGKILL and a second
later the server, which is started again at once; Kafka comes back after 10 s; then the server alone
is killed and started again. Each body differs, so a callback that was answered OK is lost if no
`read_committed` reader gets its body.
"""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.ingress.callbacks import requests
from bench.ingress.connection import OK
from bench.ingress.load import ANSWER_S_MAX
from bench.ingress.servers import Server, environment, status
from bench.processes import launch, until
from bench.topic import Tail
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka

RATE = 200.0
# Kafka is killed after a pause, and the server a moment later: what it has answered OK since then
# is in no broker. Kafka is started again, then the server is killed once more with Kafka up.
PAUSE_S = 5.0
UNTIL_SERVER_KILLED_S = 1.0
KAFKA_DOWN_S = 10.0
RECORDS_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """
    Counts of callbacks: sent, answered OK within 2 s, lost and repeated.

    A lost callback was answered OK and is not in Kafka. A repeated one is in Kafka more than once.
    """

    server: str
    sent: int
    ok: int
    lost: int
    repeated: int


def faults(
    server: Server,
    directory: Path,
    *,
    kafka: EmbeddedKafka,
    tail: Tail,
    say: Callable[[str], None],
) -> Faults:
    """Send to `server` through the schedule, and compare its answers with what is in Kafka."""
    directory.mkdir()
    tail.skip()
    process = _Process(server, kafka.address, directory)
    sender = _Sender(process.port)
    try:
        process.start()
        process.listens()
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(asyncio.run, sender.run())
            try:
                _kill(process, kafka, lambda what: say(f"{server.name}: {what}"))
            finally:
                sender.stop = True
            sending.result()
        if server.is_ours:
            until(lambda: status(process.admin_port).drained, f"{server.name} has all in Kafka")
        count, seen = asyncio.run(tail.read(len(sender.ok), RECORDS_PATIENCE_S))
    finally:
        process.stop()
        if not kafka.listens():
            kafka.start()
    return Faults(
        server=server.name,
        sent=sender.sent,
        ok=len(sender.ok),
        lost=len(sender.ok - seen),
        repeated=count - len(seen),
    )


def _kill(process: "_Process", kafka: EmbeddedKafka, say: Callable[[str], None]) -> None:
    time.sleep(PAUSE_S)
    say("kill -9 of Kafka, then of the server")
    kafka.kill()
    time.sleep(UNTIL_SERVER_KILLED_S)
    process.kill()
    process.start()
    time.sleep(KAFKA_DOWN_S - UNTIL_SERVER_KILLED_S)
    kafka.start()
    process.listens()
    time.sleep(PAUSE_S)
    say("kill -9 of the server, Kafka up")
    process.kill()
    process.start()
    process.listens()
    time.sleep(PAUSE_S)


class _Process:
    """
    A server's process on one port, whichever process it is at the moment.

    A child process ends with the thread that started it, so one thread calls all methods.
    """

    def __init__(self, server: Server, kafka: str, directory: Path) -> None:
        self.port, self.admin_port = child.free_port(), child.free_port()
        self._name = server.name
        self._command = server.arguments(self.port, directory)
        self._variables = environment(server, self.port, self.admin_port, kafka, directory)
        self._log = directory / f"{server.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = launch(self._command, self._variables, self._log)

    def kill(self) -> None:
        if self._process is not None:
            child.kill(self._process)

    def stop(self) -> None:
        if self._process is not None:
            child.stop(self._process)

    def listens(self) -> None:
        """Return when the server listens; one that ended, because it needs Kafka, starts again."""

        def listens() -> bool:
            if self._process is not None and self._process.poll() is not None:
                self.start()
            return child.listens(self.port)

        until(listens, f"{self._name} listens; see {self._log}")


class _Sender:
    """Sends at a steady rate, and notes the hash of each body that was answered OK."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.stop = False
        self.sent = 0
        self.ok: set[int] = set()

    async def run(self) -> None:
        """Send until `stop` is set; a request that is not answered within 2 s is given up."""
        begun = time.monotonic()
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX),
                connector=aiohttp.TCPConnector(limit=0),
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for number, request in enumerate(requests(seed=1)):
                if self.stop:
                    return
                await asyncio.sleep(begun + number / RATE - time.monotonic())
                self.sent += 1
                group.create_task(self._post(session, request))

    async def _post(self, session: aiohttp.ClientSession, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        headers = {"Content-Type": "application/json"}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with session.post(f"{self._url}{target}", data=body, headers=headers) as answer:
                if answer.status == 200 and await answer.json() == OK:
                    self.ok.add(hash(body))
