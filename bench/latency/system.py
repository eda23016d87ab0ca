"""The whole system as processes: ingress, sync, counters, Kafka, PostgreSQL and Valkey."""

import contextlib
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg
from valkey import Valkey
from valkey.exceptions import ValkeyError

from bench.ingress.servers import BY_NAME, Running, running
from bench.processes import start, stopping, until
from consumers.counters import layout
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.topics import CALLBACKS


class SpoolEnd(msgspec.Struct, frozen=True):
    """Some fields of an ingress's `/status`: the number of callbacks that the origin has stored."""

    origin: str
    last_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running system: the addresses of its servers, and the process of each part."""

    directory: Path
    ingress: Running
    kafka: str
    postgres: str
    valkey: str
    pids: dict[str, int]

    def spool_end(self) -> SpoolEnd:
        """Return the origin of the ingress, and how many callbacks it has stored."""
        (port,) = self.ingress.admin_ports
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=60) as response:
            return msgspec.json.decode(response.read(), type=SpoolEnd)


@contextlib.contextmanager
def running_system(directory: Path, kafka: EmbeddedKafka) -> Iterator[System]:
    """
    Yield the system, with one process of each service and all settings at their defaults.

    Every partition has a position in both sinks, so both are ready to apply callbacks.
    """
    with (
        stopping(EmbeddedPostgres(directory / "postgres")) as postgres,
        stopping(EmbeddedValkey(directory / "valkey")) as valkey,
        running(BY_NAME["hookline"], kafka.address, directory / "hookline") as ingress,
        _consumer("sync", kafka, {"SYNC_POSTGRES": postgres.conninfo}, directory) as sync,
        _consumer("counters", kafka, {"COUNTERS_VALKEY": valkey.url}, directory) as counters,
    ):
        until(lambda: _positions_in_postgres(postgres.conninfo), f"sync is up; see {directory}")
        until(lambda: _positions_in_valkey(valkey.url), f"counters are up; see {directory}")
        yield System(
            directory=directory,
            ingress=ingress,
            kafka=kafka.address,
            postgres=postgres.conninfo,
            valkey=valkey.url,
            pids={
                "ingress": ingress.pids[0],
                "Kafka": _pid(kafka),
                "sync": sync.pid,
                "PostgreSQL": _pid(postgres),
                "counters": counters.pid,
                "Valkey": _pid(valkey),
            },
        )


def _pid(server: EmbeddedKafka | EmbeddedPostgres | EmbeddedValkey) -> int:
    assert server.process is not None  # noqa: S101 - it was started
    return server.process.pid


@contextlib.contextmanager
def _consumer(
    name: str, kafka: EmbeddedKafka, variables: dict[str, str], directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    shared = {
        "HOOKLINE_BOOTSTRAP_SERVERS": kafka.address,
        "CONSUMER_ADMIN_PORT": str(child.free_port()),
    }
    process = start(["consumers", name], shared | variables, directory / f"{name}.log")
    try:
        yield process
    finally:
        child.stop(process)


def _positions_in_postgres(conninfo: str) -> bool:
    with psycopg.connect(conninfo) as connection, contextlib.suppress(psycopg.Error):
        row = connection.execute("select count(*) from hookline.positions").fetchone()
        return row == (CALLBACKS.partitions,)
    return False


def _positions_in_valkey(url: str) -> bool:
    with Valkey.from_url(url) as client, contextlib.suppress(ValkeyError):
        return bool(client.hlen(layout.positions(1)) == CALLBACKS.partitions)
    return False
