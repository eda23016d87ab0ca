"""
The whole pipeline on one machine without Docker, killed in places, and the proof at the end.

Kafka, the ingress and the archive run as processes of their own, as they do anywhere else.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ops import ledger
from ops.audit import accepted_by_status, audit
from ops.embedded import child
from ops.embedded.kafka import START_S_MAX, EmbeddedKafka
from ops.simulate import Outcome, Plan, simulate
from ops.tally import Report, Tally
from ops.topics import apply_topics
from schemas.settings import Shared

SDKAPPIDS = ("1400000001", "1400000002", "1400000003")
PATH = "/callback"
READY_S_MAX = 60.0
SETTLE_S_MAX = 90.0
WATCH_S = 0.1


class Failed(Exception):
    """The demo cannot go on; the text names the log to look at."""


@dataclass(slots=True)
class Service:
    """One process of the pipeline. `wanted` False keeps it down after it was stopped."""

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    wanted: bool = True

    def kill(self) -> None:
        """End it as a crash would."""
        child.kill(self.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is; `--json` prints these as its first line."""

    ingress: str
    admin: str
    kafka: str
    archive: str
    spool: str
    sdkappid: int
    pids: str
    logs: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the traffic came to."""

    outcome: Outcome
    report: Report

    @property
    def proven(self) -> bool:
        """Tell whether everything answered OK is in every sink once."""
        return self.report.proven

    def as_dict(self) -> dict[str, object]:
        """Return the result for `--json`."""
        return {
            "ok": self.proven,
            "answered_ok": self.outcome.answers["ok"],
            "in_kafka": sum(origin.in_kafka for origin in self.report.origins),
            "archived": sum(origin.archived for origin in self.report.origins),
            "missing": self.report.missing,
            "doubled": self.report.doubled,
            "traffic": self.outcome.as_dict(),
            "audit": self.report.as_dict(),
        }


class Stack:
    """The running services. Whichever ends is started again, as an orchestrator would."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.directory = directory
        self._say = say
        self._logs = directory / "logs"
        self._pids = directory / "pids"
        self._pids.mkdir(parents=True)
        self._kafka = EmbeddedKafka(directory / "kafka")
        self._ports = {name: child.free_port() for name in ("ingress", "admin", "archive")}
        self.services: dict[str, Service] = {}
        self.addresses = Addresses(
            ingress=f"http://127.0.0.1:{self._ports['ingress']}{PATH}",
            admin=f"http://127.0.0.1:{self._ports['admin']}",
            kafka=self._kafka.address,
            archive=str(directory / "archive"),
            spool=str(directory / "spool"),
            sdkappid=int(SDKAPPIDS[0]),
            pids=str(self._pids),
            logs=str(self._logs),
        )

    async def start(self) -> None:
        """
        Start everything and return when a callback would be taken and archived.

        Raises:
            Failed: a part does not come up.
        """
        self._say("starting Kafka (the first time ever it is downloaded, 45 MB)")
        self._add("kafka", self._kafka.launch)
        await self._kafka_up()
        for done in await apply_topics(
            self._kafka.address, body_bytes_max=Shared().body_bytes_max, replicas=1
        ):
            self._say(done)
        self._add("ingress", lambda: self._python("ingress", ["ingress"], self._ingress_env()))
        self._add(
            "archive",
            lambda: self._python("archive", ["consumers", "archive"], self._archive_env()),
        )
        await self.ready()

    async def ready(self) -> None:
        """
        Return when all services are up.

        Raises:
            Failed: one of them does not come up.
        """
        await self._kafka_up()
        await self._answers(f"{self.addresses.admin}/readyz", "ingress")
        await self._answers(f"http://127.0.0.1:{self._ports['archive']}/livez", "archive")

    async def watch(self) -> None:
        """Start again whatever ends, until cancelled."""
        while True:
            for service in self.services.values():
                if service.wanted and service.process.poll() is not None:
                    self._say(f"restarting {service.name}")
                    service.process = service.launch()
                    self._note_pid(service)
            await asyncio.sleep(WATCH_S)

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
        for name in ("ingress", "archive"):
            if name in self.services:
                child.stop(self.services[name].process, timeout_s=5)
        if "kafka" in self.services:
            self.services["kafka"].kill()

    def _add(self, name: str, launch: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.services[name] = Service(name, launch, launch())
        self._note_pid(self.services[name])

    def _note_pid(self, service: Service) -> None:
        scratch = self._pids / f".{service.name}"
        scratch.write_text(f"{service.process.pid}\n")
        scratch.replace(self._pids / service.name)

    def _python(
        self, name: str, module: list[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        # What the person's shell has set for other Hookline processes is not for these.
        inherited = {
            variable: value
            for variable, value in os.environ.items()
            if not variable.startswith(("HOOKLINE_", "INGRESS_", "CONSUMER_", "ARCHIVE_"))
        }
        return child.start(
            [sys.executable, "-m", *module],
            log=self._logs / f"{name}.log",
            env=inherited | {"HOOKLINE_BOOTSTRAP_SERVERS": self._kafka.address, **env},
        )

    def _ingress_env(self) -> Mapping[str, str]:
        return {
            "INGRESS_SDKAPPIDS": ",".join(SDKAPPIDS),
            "INGRESS_SPOOL_DIR": self.addresses.spool,
            "INGRESS_HOST": "127.0.0.1",
            "INGRESS_PORT": str(self._ports["ingress"]),
            "INGRESS_PATH": PATH,
            "INGRESS_ADMIN_PORT": str(self._ports["admin"]),
            "INGRESS_UNREADY_S": "0",
        }

    def _archive_env(self) -> Mapping[str, str]:
        return {
            "ARCHIVE_DIR": self.addresses.archive,
            "ARCHIVE_SEGMENT_AGE_S": "1",
            "CONSUMER_ADMIN_PORT": str(self._ports["archive"]),
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

    async def _kafka_up(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while not self._kafka.listens():
            if time.monotonic() > deadline:
                raise Failed(f"Kafka is not up after {START_S_MAX:g} s; see {self._kafka.log}")
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


async def run_traffic(
    stack: Stack,
    *,
    rate: float,
    seconds: float,
    faults: bool,
    say: Callable[[str], None],
    noted: Callable[[ledger.Entry], None],
) -> Result:
    """Send traffic, meanwhile kill parts of the stack if `faults`, then audit."""
    plan = Plan(url=stack.addresses.ingress, sdkappids=SDKAPPIDS, rate=rate, seconds=seconds)
    ledger_path = stack.directory / "ledger.jsonl"
    breaking = asyncio.create_task(_break(stack, seconds, say) if faults else asyncio.sleep(0))
    with ledger_path.open("wb") as file:
        outcome = await simulate(plan, file, noted)
    await breaking
    say("traffic has ended; auditing what arrives, the archive last")
    return Result(outcome, await _prove(stack, ledger_path))


async def _break(stack: Stack, seconds: float, say: Callable[[str], None]) -> None:
    await asyncio.sleep(seconds * 0.2)
    say("kill -9 ingress")
    stack.services["ingress"].kill()
    await asyncio.sleep(seconds * 0.2)
    outage_s = max(seconds * 0.2, 2.0)
    say(f"kill -9 Kafka, for {outage_s:g} s: callbacks are answered OK all the same")
    stack.hold_down("kafka")
    await asyncio.sleep(outage_s / 2)
    say("kill -9 ingress, while Kafka is down")
    stack.services["ingress"].kill()
    await asyncio.sleep(outage_s / 2)
    say("starting Kafka again")
    stack.let_up("kafka")
    await asyncio.sleep(2 * WATCH_S)
    await stack.ready()
    say("Kafka is back")


async def _prove(stack: Stack, ledger_path: Path) -> Report:
    def silent(_: Tally) -> None:
        pass

    await stack.ready()
    return await audit(
        await accepted_by_status(stack.addresses.admin),
        bootstrap_servers=stack.addresses.kafka,
        archive=Path(stack.addresses.archive),
        ledger=list(ledger.read(ledger_path)),
        wait_s=SETTLE_S_MAX,
        progress=silent,
    )
