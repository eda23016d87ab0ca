"""Run the whole pipeline on one machine without Docker, every part in a process of its own."""

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiohttp

from ops.demo import services
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey
from ops.demo.services import CONSUMERS, PATH, REPLICAS, SDKAPPIDS, SERVICES, StackAddresses
from ops.demo.supervisor import Supervisor
from ops.failure import Failure
from ops.topic_changes import apply_topics
from schemas.clients import check_cancellation
from schemas.kafka_access import KafkaAccess
from schemas.settings import SharedSettings

READY_TIMEOUT_S = 180.0
POLL_INTERVAL_S = 0.05
SERVERS = ("kafka", "postgres", "valkey")


class NotReady(Failure):
    """A part of the stack did not start in time; the text names its log."""


class Stack:
    """Kafka, PostgreSQL, Valkey and the services, in a directory. `log` takes lines for people."""

    def __init__(self, directory: Path, log: Callable[[str], None]) -> None:
        self.directory = directory
        self.ledger_path = directory / "ledger.jsonl"
        self._log = log
        self._logs = directory / "logs"
        self.supervisor = Supervisor(directory / "pids", log)
        self._kafka = EmbeddedKafka(directory / "kafka")
        self._postgres = EmbeddedPostgres(directory / "postgres")
        self._valkey = EmbeddedValkey(directory / "valkey")
        self._ports = {name: child.free_port() for name in SERVICES}
        self._admin_ports = {name: child.free_port() for name in REPLICAS}
        ingresses = [f"http://127.0.0.1:{self._ports[name]}{PATH}" for name in REPLICAS]
        admins = [f"http://127.0.0.1:{port}" for port in self._admin_ports.values()]
        self.addresses = StackAddresses(
            ingress=ingresses[0],
            admin=admins[0],
            ingresses=tuple(ingresses),
            admins=tuple(admins),
            consumers=tuple(f"{name}=http://127.0.0.1:{self._ports[name]}" for name in CONSUMERS),
            kafka=self._kafka.address,
            archive=str(directory / "archive"),
            postgres=self._postgres.conninfo,
            valkey=self._valkey.url,
            stats=f"http://127.0.0.1:{self._ports['stats']}",
            spool=str(directory / "spool"),
            sdkappid=int(SDKAPPIDS[0]),
            ledger=str(self.ledger_path),
            pids=str(directory / "pids"),
            logs=str(self._logs),
        )

    async def start(self) -> None:
        """
        Start everything; return when callbacks are accepted and every consumer is running.

        Raises:
            NotReady: a part is not up after READY_TIMEOUT_S.
        """
        self._log("starting Kafka (the first time it is downloaded, 45 MB), PostgreSQL, Valkey")
        self.supervisor.add("kafka", self._kafka.launch)
        self.supervisor.add("postgres", self._postgres.launch)
        self.supervisor.add("valkey", self._valkey.launch)
        await self._servers_up()
        for applied in await apply_topics(
            KafkaAccess(bootstrap_servers=self._kafka.address),
            body_bytes_max=SharedSettings().body_bytes_max,
            replicas=1,
        ):
            self._log(applied)
        # aiokafka may have swallowed Ctrl-C.
        check_cancellation()
        self._log(f"starting {', '.join(SERVICES)}")
        for name in SERVICES:
            self.supervisor.add(name, partial(self._launch, name))
        await self.ready()

    def _launch(self, name: str) -> subprocess.Popen[bytes]:
        return child.start(
            services.command(name),
            log=self._logs / f"{name}.log",
            env=services.environment(
                name,
                self.addresses,
                port=self._ports[name],
                admin_port=self._admin_ports.get(name, 0),
            ),
        )

    async def ready(self) -> None:
        """
        Return when all parts are up.

        Raises:
            NotReady: a part is not up after READY_TIMEOUT_S.
        """
        await self._servers_up()
        await self.replicas_ready()
        for name in SERVICES:
            if name not in REPLICAS:
                await self._answers(f"http://127.0.0.1:{self._ports[name]}/livez", name)

    async def replicas_ready(self) -> None:
        """
        Return when all replicas of the ingress are ready.

        Raises:
            NotReady: a part is not up after READY_TIMEOUT_S.
        """
        for name, port in self._admin_ports.items():
            await self._answers(f"http://127.0.0.1:{port}/readyz", name)

    def stop(self) -> None:
        """Stop the services in order, then the servers; no process is left on return."""
        self.supervisor.terminate(*SERVICES)
        self.supervisor.end(*SERVERS)

    async def _answers(self, url: str, name: str) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session:
            deadline = time.monotonic() + READY_TIMEOUT_S
            while time.monotonic() < deadline:
                check_cancellation()
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(POLL_INTERVAL_S)
        raise NotReady(
            f"{name} is not ready after {READY_TIMEOUT_S:g} s; see {self._logs}/{name}.log"
        )

    async def _servers_up(self) -> None:
        deadline = time.monotonic() + child.START_TIMEOUT_S
        for name, is_up, log in (
            ("Valkey", self._valkey.answers, self._valkey.log),
            ("PostgreSQL", self._postgres.answers, self._postgres.log),
            ("Kafka", self._kafka.listens, self._kafka.log),
        ):
            while not await asyncio.to_thread(is_up):
                check_cancellation()
                if time.monotonic() > deadline:
                    raise NotReady(f"{name} is not up after {child.START_TIMEOUT_S:g} s; see {log}")
                await asyncio.sleep(POLL_INTERVAL_S)


@contextlib.asynccontextmanager
async def running_stack(log: Callable[[str], None]) -> AsyncIterator[Stack]:
    """Yield a running stack in a new temporary directory; on exit no process is left."""
    directory = Path(tempfile.mkdtemp(prefix="hookline-demo-"))
    stack = Stack(directory, log)
    try:
        await stack.start()
        watching = asyncio.create_task(stack.supervisor.watch())
        try:
            yield stack
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    finally:
        stack.stop()
        log(f"all parts have ended; remove their files:  rm -r {directory}")
