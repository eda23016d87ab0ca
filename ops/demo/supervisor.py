"""
Start processes, and start them again when they end, as an orchestrator would.

The pid of each is in a file, so that tests and people can kill it.
"""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.demo.embedded import child

WATCH_INTERVAL_S = 0.1
# A process is started again at the earliest this long after its last start.
RESTART_S_MIN = 1.0
STOP_TIMEOUT_S = 5.0

Launch = Callable[[], subprocess.Popen[bytes]]


@dataclass(slots=True)
class Service:
    """One process. If `wanted` is False, it is not started again when it ends."""

    name: str
    launch: Launch
    process: subprocess.Popen[bytes]
    wanted: bool = True
    # True if it ends because the supervisor killed it.
    killed: bool = False
    launched_at: float = field(default_factory=time.monotonic)
    # The pid that the pid file has.
    written_pid: int = 0
    # The reason why the last attempt to start it, or to write its pid file, failed.
    fault: str = ""

    def kill(self) -> None:
        """Send SIGKILL; `Supervisor.watch` starts it again."""
        self.killed = True
        self.process.kill()


class Supervisor:
    """Starts services again, until it stops them. `log` takes the lines for people."""

    def __init__(self, pids: Path, log: Callable[[str], None]) -> None:
        self.services: dict[str, Service] = {}
        self._pids = pids
        self._pids.mkdir(parents=True)
        self._log = log

    def add(self, name: str, launch: Launch) -> None:
        """Start a service that `watch` starts again whenever it ends."""
        self.services[name] = Service(name, launch, launch())
        self._write_pid(self.services[name])

    async def watch(self) -> None:
        """
        Start every service again that ends, until cancelled.

        If the disk is full or no process can be created, this tries again; other services continue.
        """
        while True:
            for service in self.services.values():
                try:
                    self._restart_if_ended(service)
                    service.fault = ""
                except (OSError, child.ProgramMissing, child.NotStarted) as error:
                    if service.fault != str(error):
                        service.fault = str(error)
                        self._try_to_log(f"{service.name}: {error}; trying again until it works")
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _restart_if_ended(self, service: Service) -> None:
        is_due = time.monotonic() >= service.launched_at + RESTART_S_MIN
        if service.wanted and service.process.poll() is not None and is_due:
            if not service.killed:
                self._try_to_log(f"{service.name} has ended; starting it again")
            service.killed = False
            service.launched_at = time.monotonic()
            service.process = service.launch()
        if service.written_pid != service.process.pid:
            self._write_pid(service)

    def _try_to_log(self, line: str) -> None:
        # stderr may be a file on the disk that is full.
        with contextlib.suppress(OSError):
            self._log(line)

    def kill(self, name: str) -> None:
        """Kill a service (SIGKILL); it is started again."""
        self.services[name].kill()

    def hold_down(self, name: str) -> None:
        """Kill a service (SIGKILL) and keep it down until `let_up`."""
        self.services[name].wanted = False
        self.services[name].kill()

    def let_up(self, name: str) -> None:
        """Let a service be started again."""
        self.services[name].wanted = True

    def terminate(self, *names: str) -> None:
        """End services by SIGTERM, concurrently, and by SIGKILL after STOP_TIMEOUT_S each."""
        running = self._unwanted(names)
        for service in running:
            service.process.terminate()
        for service in running:
            child.stop(service.process, timeout_s=STOP_TIMEOUT_S)

    def end(self, *names: str) -> None:
        """End services by SIGKILL; none is left on return."""
        for service in self._unwanted(names):
            child.kill(service.process)

    def _unwanted(self, names: tuple[str, ...]) -> list[Service]:
        services = [self.services[name] for name in names if name in self.services]
        for service in services:
            service.wanted = False
        return services

    def _write_pid(self, service: Service) -> None:
        scratch = self._pids / f".{service.name}"
        scratch.write_text(f"{service.process.pid}\n")
        scratch.replace(self._pids / service.name)
        service.written_pid = service.process.pid
