"""
The whole pipeline on one machine without Docker: every part a process of its own.

Whatever ends is started again, as an orchestrator would, so parts may be killed at any time.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey
from ops.failure import Failure
from ops.topics import apply_topics
from schemas.settings import Shared

SDKAPPIDS = ("1400000001", "1400000002", "1400000003")
PATH = "/callback"
READY_S_MAX = 60.0
WATCH_S = 0.1
# A process that ended so soon after its start is started again only after that time.
RESTART_S_MIN = 1.0
# Stopped in order at the end; the servers behind them are killed after that.
SERVICES = ("ingress", "archive", "sync", "counters", "stats")
SERVERS = ("kafka", "postgres", "valkey")
PREFIXES = ("HOOKLINE_", "INGRESS_", "CONSUMER_", "ARCHIVE_", "SYNC_", "COUNTERS_", "STATS_")


class Failed(Failure):
    """A part does not come up; the text names the log to look at."""


@dataclass(slots=True)
class Service:
    """One process of the pipeline. `wanted` False keeps it down after it was stopped."""

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    wanted: bool = True
    launched_at: float = field(default_factory=time.monotonic)
    # The process whose pid is in the pid file.
    noted: int = 0
    # Why it could not be started, or its pid not be noted, the last time.
    fault: str = ""

    def kill(self) -> None:
        """End it as a crash would."""
        child.kill(self.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is; `hookline demo --json` prints these as its first line."""

    ingress: str
    admin: str
    kafka: str
    archive: str
    postgres: str
    valkey: str
    stats: str
    spool: str
    sdkappid: int
    pids: str
    logs: str


class Stack:
    """The running services."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.directory = directory
        self._say = say
        self._logs = directory / "logs"
        self._pids = directory / "pids"
        self._pids.mkdir(parents=True)
        self._kafka = EmbeddedKafka(directory / "kafka")
        self._postgres = EmbeddedPostgres(directory / "postgres")
        self._valkey = EmbeddedValkey(directory / "valkey")
        self._ports = {name: child.free_port() for name in ("admin", *SERVICES)}
        self.services: dict[str, Service] = {}
        self.addresses = Addresses(
            ingress=f"http://127.0.0.1:{self._ports['ingress']}{PATH}",
            admin=f"http://127.0.0.1:{self._ports['admin']}",
            kafka=self._kafka.address,
            archive=str(directory / "archive"),
            postgres=self._postgres.conninfo,
            valkey=self._valkey.url,
            stats=f"http://127.0.0.1:{self._ports['stats']}",
            spool=str(directory / "spool"),
            sdkappid=int(SDKAPPIDS[0]),
            pids=str(self._pids),
            logs=str(self._logs),
        )

    async def start(self) -> None:
        """
        Start everything and return when a callback would be taken and go everywhere.

        Raises:
            Failed: a part does not come up.
        """
        self._say("starting Kafka (the first time it is downloaded, 45 MB), PostgreSQL, Valkey")
        self.add("kafka", self._kafka.launch)
        self.add("postgres", self._postgres.launch)
        self.add("valkey", self._valkey.launch)
        await self._servers_up()
        for done in await apply_topics(
            self._kafka.address, body_bytes_max=Shared().body_bytes_max, replicas=1
        ):
            self._say(done)
        for name in SERVICES:
            self.add(name, self._launcher(name))
        await self.ready()

    async def ready(self) -> None:
        """
        Return when all parts are up.

        Raises:
            Failed: one of them does not come up.
        """
        await self._servers_up()
        await self._answers(f"{self.addresses.admin}/readyz", "ingress")
        for name in SERVICES[1:]:
            await self._answers(f"http://127.0.0.1:{self._ports[name]}/livez", name)

    async def watch(self) -> None:
        """
        Start every service again that ends, until cancelled.

        A disk that is full, or no room for a process, ends neither this nor the other services.
        """
        while True:
            for service in self.services.values():
                try:
                    self._look_after(service)
                    service.fault = ""
                except (OSError, child.Missing, child.NotStarted) as error:
                    if service.fault != str(error):
                        service.fault = str(error)
                        self._try_to_print(f"{service.name}: {error}; trying again until it works")
            await asyncio.sleep(WATCH_S)

    def _look_after(self, service: Service) -> None:
        is_due = time.monotonic() >= service.launched_at + RESTART_S_MIN
        if service.wanted and service.process.poll() is not None and is_due:
            self._try_to_print(f"restarting {service.name}")
            service.launched_at = time.monotonic()
            service.process = service.launch()
        if service.noted != service.process.pid:
            self._note_pid(service)

    def _try_to_print(self, words: str) -> None:
        # stderr may be a file on the disk that is full.
        with contextlib.suppress(OSError):
            self._say(words)

    def kill(self, *names: str) -> None:
        """End services as crashes would; they are started again."""
        for name in names:
            self.services[name].kill()

    def hold_down(self, name: str) -> None:
        """Kill a service (SIGKILL) and keep it down until `let_up`."""
        self.services[name].wanted = False
        self.services[name].kill()

    def let_up(self, name: str) -> None:
        """Let a service be started again."""
        self.services[name].wanted = True

    def stop(self) -> None:
        """Stop everything; no process is left on return."""
        for service in self.services.values():
            service.wanted = False
        running = [self.services[name] for name in SERVICES if name in self.services]
        for service in running:
            service.process.terminate()
        for service in running:
            child.stop(service.process, timeout_s=5)
        for name in SERVERS:
            if name in self.services:
                self.services[name].kill()

    def add(self, name: str, launch: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Start a service that `watch` starts again whenever it ends."""
        self.services[name] = Service(name, launch, launch())
        self._note_pid(self.services[name])

    def _note_pid(self, service: Service) -> None:
        scratch = self._pids / f".{service.name}"
        scratch.write_text(f"{service.process.pid}\n")
        scratch.replace(self._pids / service.name)
        service.noted = service.process.pid

    def _launcher(self, name: str) -> Callable[[], subprocess.Popen[bytes]]:
        module, env = self._told(name)
        # What the person's shell has set for other Hookline processes is not for these.
        inherited = {
            variable: value
            for variable, value in os.environ.items()
            if not variable.startswith(PREFIXES)
        }
        return lambda: child.start(
            [sys.executable, "-m", *module],
            log=self._logs / f"{name}.log",
            env=inherited | {"HOOKLINE_BOOTSTRAP_SERVERS": self._kafka.address, **env},
        )

    def _told(self, name: str) -> tuple[list[str], Mapping[str, str]]:
        """Return what a service's command and environment are."""
        port = str(self._ports[name])
        match name:
            case "ingress":
                return ["ingress"], {
                    "INGRESS_SDKAPPIDS": ",".join(SDKAPPIDS),
                    "INGRESS_SPOOL_DIR": self.addresses.spool,
                    "INGRESS_HOST": "127.0.0.1",
                    "INGRESS_PORT": port,
                    "INGRESS_PATH": PATH,
                    "INGRESS_ADMIN_PORT": str(self._ports["admin"]),
                    "INGRESS_UNREADY_S": "0",
                }
            case "stats":
                return ["consumers.stats"], {
                    "STATS_VALKEY": self.addresses.valkey,
                    "STATS_PORT": port,
                }
            case _:
                return ["consumers", name], {
                    "CONSUMER_ADMIN_PORT": port,
                    **{
                        "archive": {
                            "ARCHIVE_URL": self.addresses.archive,
                            "ARCHIVE_SEGMENT_AGE_S": "1",
                        },
                        "sync": {"SYNC_POSTGRES": self.addresses.postgres},
                        "counters": {"COUNTERS_VALKEY": self.addresses.valkey},
                    }[name],
                }

    async def _answers(self, url: str, name: str) -> None:
        async with aiohttp.ClientSession() as session:
            deadline = time.monotonic() + READY_S_MAX
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url, timeout=aiohttp.ClientTimeout(2)) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise Failed(f"{name} is not ready after {READY_S_MAX:g} s; see {self._logs}/{name}.log")

    async def _servers_up(self) -> None:
        deadline = time.monotonic() + child.START_S_MAX
        for name, is_up, log in (
            ("Valkey", self._valkey.answers, self._valkey.log),
            ("PostgreSQL", self._postgres.answers, self._postgres.log),
            ("Kafka", self._kafka.listens, self._kafka.log),
        ):
            while not await asyncio.to_thread(is_up):
                if time.monotonic() > deadline:
                    raise Failed(f"{name} is not up after {child.START_S_MAX:g} s; see {log}")
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running_stack(say: Callable[[str], None]) -> AsyncIterator[Stack]:
    """Yield a running stack in a new temporary directory; on exit no process is left."""
    directory = Path(tempfile.mkdtemp(prefix="hookline-demo-"))
    stack = Stack(directory, say)
    try:
        await stack.start()
        watching = asyncio.create_task(stack.watch())
        try:
            yield stack
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    finally:
        stack.stop()
