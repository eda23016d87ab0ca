"""One `python -m ingress` from outside: its process, its ports, its status."""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from support.awake import awake_timeout
from support.processes.forked import ForkedProcess

from ops.demo.embedded import child

APP = "1400000001"
# Only a test that hangs waits so long: a busy machine may be many times slower than an idle one.
UNTIL_S_MAX = 180.0
# The shortest and the longest pause of `until` between two calls.
PAUSE_S_MIN, PAUSE_S_MAX = 0.01, 0.5
# The sender of real callbacks waits 2 s; a client here waits on, to see what comes.
ANSWER_S_MAX = 180.0
GET_S_MAX = 20.0
# `python -m ingress` that gives its disk as long as the tests wait. On a busy machine an fsync may
# take longer than the 1.5 s after which the ingress answers 503, because the vendor waits for 2 s;
# and the verification of a spool longer than the 2 s after which the start takes a new spool.
_PATIENTLY = f"""
from ingress.spool import directory, group_commit
directory.START_VERIFY_TIMEOUT_S = group_commit.DISK_TIMEOUT_S = {UNTIL_S_MAX}
from ingress.__main__ import main
main()
"""
PATIENT_INGRESS = ("-c", _PATIENTLY)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection to a port of the loopback; its failures are OSError or EOFError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, request: bytes) -> None:
        """Send a request or a part of one."""
        self._writer.write(request)

    async def answer(self) -> Answer:
        """Return the next answer; raise TimeoutError after ANSWER_S_MAX."""
        async with asyncio.timeout(ANSWER_S_MAX):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def post(body: bytes) -> bytes:
    """Return the request that carries `body` as a callback."""
    target = f"/?SdkAppid={APP}&CallbackCommand=C2C.CallbackAfterSendMsg&contenttype=json"
    head = f"POST {target} HTTP/1.1\r\nHost: ingress\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def get(port: int, path: str) -> Answer | None:
    """Return the answer of the admin port, None if there is none."""
    try:
        async with awake_timeout(GET_S_MAX):
            connection = await Connection.open(port)
            connection.send(f"GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n".encode())
            try:
                return await connection.answer()
            finally:
                connection.close()
    except (OSError, EOFError, TimeoutError):
        return None


def listens(port: int) -> bool:
    """Return whether something accepts connections at a port of the loopback."""
    return child.listens(port)


class Ingress:
    """An ingress that may be killed and started again on its spools and ports."""

    def __init__(
        self,
        spools: Path,
        kafka: str,
        *,
        log: Path | None = None,
        wrap: Sequence[str | Path] = (),
        env: Mapping[str, str] = MappingProxyType({}),
        **settings: object,
    ) -> None:
        """
        Prepare one; `wrap` is a command that runs it.

        `settings` are INGRESS_* in lower case, `env` other variables.
        """
        self.port, self.admin_port = child.free_port(), child.free_port()
        self.log = log or spools.parent / f"ingress-{self.port}.log"
        self._wrap = wrap
        own = {
            "sdkappids": APP,
            "spool_dir": spools,
            "host": "127.0.0.1",
            "port": self.port,
            "admin_port": self.admin_port,
            "unready_s": 0,
            **settings,
        }
        self._env = {f"INGRESS_{name.upper()}": str(value) for name, value in own.items()}
        self._env |= {"HOOKLINE_BOOTSTRAP_SERVERS": kafka, **env}
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | ForkedProcess:
        """Return the process that was launched last."""
        assert self._process is not None
        return self._process

    def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        env, log = os.environ | self._env, self.log
        if self._wrap:
            command = [*self._wrap, sys.executable, *PATIENT_INGRESS]
            self._process = child.start(command, log=log, env=env)
        else:
            self._process = ForkedProcess(
                "support.processes.forked_services:patient_ingress",
                ["ingress", str(UNTIL_S_MAX)],
                env=env,
                stdout=log,
                stderr=log,
            )

    async def start(self) -> None:
        """Start the process and return when it takes callbacks."""
        self.launch()
        await self.until_ready()

    async def until_ready(self) -> None:
        """Return when it takes callbacks."""

        async def ready() -> bool:
            assert self.process.poll() is None, f"the ingress ended: {self.log.read_text()[-2000:]}"
            answer = await self.get("/readyz")
            return answer is not None and answer.status == 200 and listens(self.port)

        await until(ready, f"the ingress at port {self.port} is ready")

    async def unready_because(self) -> str:
        """Return the reason of a failing /readyz, "" if it succeeds."""
        answer = await self.get("/readyz")
        assert answer is not None, f"the admin port {self.admin_port} does not answer"
        return "" if answer.status == 200 else answer.body.decode().strip()

    def kill(self) -> None:
        """Kill the process as a crash would, if there is one."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop the process by SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a frozen process."""
        self.process.send_signal(signal.SIGCONT)

    async def get(self, path: str) -> Answer | None:
        """Return what the admin port answers, None if it does not."""
        return await get(self.admin_port, path)

    async def status(self) -> dict[str, Any]:
        """Return `/status`."""
        answer = await self.get("/status")
        assert answer is not None, f"the admin port {self.admin_port} does not answer"
        return dict(json.loads(answer.body))

    async def until_forwarded(self, seconds: float = UNTIL_S_MAX) -> None:
        """Return when all that this process has stored is in Kafka."""

        async def forwarded() -> bool:
            status = await self.status()
            return (
                bool(status["forwarding"])
                and status["forwarded_sequence"] == status["last_sequence"]
            )

        await until(forwarded, f"the ingress at port {self.port} has forwarded its spool", seconds)


async def until(
    holds: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = UNTIL_S_MAX
) -> float:
    """
    Return after how many seconds `holds`; after `seconds` fail with `what`.

    The pause between two calls of `holds` is four times as long as the call took: asking all the
    time would take the CPU time from the processes that the test waits for.
    """
    begun = time.monotonic()
    while True:
        asked = time.monotonic()
        held = holds()
        if await held if inspect.isawaitable(held) else held:
            return time.monotonic() - begun
        pause_s = min(max(PAUSE_S_MIN, 4 * (time.monotonic() - asked)), PAUSE_S_MAX)
        assert time.monotonic() < begun + seconds, (
            f"after {seconds:g} s it does not hold that {what}"
        )
        await asyncio.sleep(pause_s)
