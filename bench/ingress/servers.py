"""The servers to measure: this ingress and its peers, each started as its documentation says."""

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench.ingress import durable_streams
from bench.ingress.callbacks import APP, VENDOR, Shape
from bench.processes import PYTHON, launch, until
from ops.demo.embedded import child

# A producer does not report what it still holds, so it gets this time after the last answer.
PEER_SETTLES_S = 0.5
# The number of connections at which servers are compared.
COMPARED_AT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    One way to receive callbacks. `stores`: what it answers OK must be in Kafka.

    `defers`: it may have work left after its last answer.
    `command` is a Python module with its arguments, or `program` with its arguments; {port} and
    {directory} in it are replaced. `connections` are the numbers to measure at; empty: all.
    """

    name: str
    command: Sequence[str]
    program: Path | None = None
    stores: bool = True
    defers: bool = True
    processes: int = 1
    shape: Shape = VENDOR
    connections: tuple[int, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it has an admin port to ask."""
        return self.command[0] == "ingress"

    def arguments(self, port: int, directory: Path) -> list[str]:
        """Return the command of a process that listens at `port`."""
        command = [part.format(port=port, directory=directory) for part in self.command]
        return [str(self.program), *command] if self.program else [*PYTHON, *command]


class Status(msgspec.Struct, frozen=True):
    """Some fields of an ingress's `/status`."""

    last_sequence: int
    forwarded_sequence: int
    oldest_waiting_s: float | None
    forwarding: bool

    @property
    def drained(self) -> bool:
        """Whether everything that it stored is in Kafka."""
        return self.forwarding and self.forwarded_sequence == self.last_sequence


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts callbacks at its ports."""

    server: Server
    directory: Path
    ports: tuple[int, ...]
    admin_ports: tuple[int, ...]
    pids: tuple[int, ...]

    def statuses(self) -> list[Status]:
        """Return the status of each process of ours."""
        return [status(port) for port in self.admin_ports]

    def settle(self, timeout_s: float = 180.0) -> None:
        """Return when everything that was answered OK has left the process."""
        if not self.admin_ports:
            time.sleep(PEER_SETTLES_S if self.server.defers else 0)
            return
        until(
            lambda: all(status.drained for status in self.statuses()),
            f"{self.server.name} has all in Kafka",
            timeout_s,
        )


_UVICORN = (
    *("uvicorn", "--host=127.0.0.1", "--port={port}"),
    *("--loop=uvloop", "--http=httptools", "--no-access-log"),
)

# Servers that a goal compares with each other are neighbours: what disturbs one disturbs both.
SERVERS = (
    Server(
        name="hookline_ids", command=["ingress"], shape=Shape(ids=True), connections=(COMPARED_AT,)
    ),
    Server(name="hookline", command=["ingress"]),
    Server(name="hello", command=["bench.ingress.peers.hello"], stores=False, defers=False),
    Server(name="bare", command=["bench.ingress.peers.bare"], stores=False, defers=False),
    Server(
        name="durable_streams",
        program=durable_streams.program(),
        command=["--port", "{port}", "--data-dir", "{directory}/data"],
        stores=False,
        shape=Shape(target=durable_streams.TARGET, ok_status=204),
    ),
    Server(name="aiohttp_awaiting", command=["bench.ingress.peers.aiohttp_awaiting"]),
    Server(
        name="fastapi_awaiting",
        command=[*_UVICORN, "bench.ingress.peers.fastapi_awaiting:app"],
        connections=(COMPARED_AT,),
    ),
    Server(
        name="fastapi_fire_and_forget",
        command=[*_UVICORN, "bench.ingress.peers.fastapi_fire_and_forget:app"],
        connections=(COMPARED_AT,),
    ),
)

BY_NAME = {server.name: server for server in SERVERS}


@contextlib.contextmanager
def running(server: Server, kafka: str, directory: Path) -> Iterator[Running]:
    """
    Yield a server that accepts callbacks; all of its processes have ended afterwards.

    `directory` is made, for its logs and spools.

    Raises:
        NotStarted: the server does not start.
    """
    directory.mkdir()
    processes: list[subprocess.Popen[bytes]] = []
    ports = tuple(child.free_port() for _ in range(server.processes))
    admin_ports = tuple(child.free_port() for _ in ports) if server.is_ours else ()
    try:
        for number, port in enumerate(ports):
            admin_port = admin_ports[number] if admin_ports else 0
            variables = environment(server, port, admin_port, kafka, directory)
            log = directory / f"{server.name}-{number}.log"
            processes.append(launch(server.arguments(port, directory), variables, log))
            until(partial(child.listens, port), f"{server.name} listens; see {log}")
            if server.shape.target:
                _create(f"http://127.0.0.1:{port}{server.shape.target}")
        yield Running(server, directory, ports, admin_ports, tuple(each.pid for each in processes))
    finally:
        for process in processes:
            child.stop(process)


def _create(url: str) -> None:
    """Create a stream of durable_streams."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, method="PUT", headers=headers)  # noqa: S310 - our own
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - our own


def environment(
    server: Server, port: int, admin_port: int, kafka: str, directory: Path
) -> dict[str, str]:
    """Return the variables that a process of `server` is started with."""
    if not server.is_ours:
        return {"PORT": str(port), "KAFKA": kafka}
    return {
        "HOOKLINE_BOOTSTRAP_SERVERS": kafka,
        "INGRESS_SDKAPPIDS": APP,
        "INGRESS_SPOOL_DIR": str(directory / "spool"),
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "INGRESS_ADMIN_PORT": str(admin_port),
        "INGRESS_UNREADY_S": "0",
    }


def status(port: int) -> Status:
    """Return the status of the ingress whose admin port is `port`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=60) as response:
        return msgspec.json.decode(response.read(), type=Status)
