"""The readers to measure: this archive and its peers, each started as its documentation says."""

import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.archive import connect
from bench.archive.peers.reading import BEGUN, ENDED
from bench.ingress.servers import start
from ops.demo.embedded import child

# The setting that says where the archive is, and the one that closes its last segments soon.
WHERE = "ARCHIVE_URL"
SEGMENT_AGE_S = 1
# Reading the archive's metrics costs it some CPU; looking for a file costs nothing.
ASK_S, LOOK_S = 0.1, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The task of one process. `directory` is its own, for everything that it writes."""

    kafka: str
    records: int
    value_bytes: int
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A reader's process. `begun`: before its first request to Kafka; `ended`: all is written."""

    process: subprocess.Popen[bytes]
    begun: Callable[[], bool]
    ended: Callable[[], bool]
    look_s: float = LOOK_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One way to read the topic. `keeps`: it is our archive, which is read back afterwards."""

    name: str
    start: Callable[[Task], Started]
    keeps: bool = False


def _hookline(task: Task) -> Started:
    port = child.free_port()
    process = start(
        ["consumers", "archive"],
        {
            "HOOKLINE_BOOTSTRAP_SERVERS": task.kafka,
            WHERE: str(archive(task)),
            "ARCHIVE_SEGMENT_AGE_S": str(SEGMENT_AGE_S),
            "CONSUMER_ADMIN_PORT": str(port),
            # The group has offsets of the round before, whose archive is elsewhere.
            "CONSUMER_REBUILD": "true",
        },
        task.directory / "hookline.log",
    )
    return Started(
        process=process,
        begun=lambda: child.listens(port),
        ended=lambda: _records(port) >= task.records,
        look_s=ASK_S,
    )


def archive(task: Task) -> Path:
    """Return the directory of the archive."""
    return task.directory / "archive"


def _records(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("consumer_records_total "):
                return float(line.split()[1])
    return 0.0


def _peer(*command: str) -> Callable[[Task], Started]:
    def started(task: Task) -> Started:
        variables = {
            "KAFKA": task.kafka,
            "GROUP": task.directory.name,
            "RECORDS": str(task.records),
            "DIRECTORY": str(task.directory),
        }
        return Started(
            process=start(command, variables, task.directory / "peer.log"),
            begun=(task.directory / BEGUN).exists,
            ended=(task.directory / ENDED).exists,
        )

    return started


def _connect(task: Task) -> Started:
    values = task.directory / connect.VALUES
    # A line feed after each value.
    expected = task.value_bytes + task.records
    return Started(
        process=connect.start(task.kafka, task.directory.name, task.directory),
        begun=values.exists,
        ended=lambda: values.stat().st_size >= expected,
    )


READERS = (
    Reader(name="hookline", start=_hookline, keeps=True),
    Reader(name="counting", start=_peer("bench.archive.peers.counting", "default")),
    Reader(name="counting_tamed", start=_peer("bench.archive.peers.counting", "tamed")),
    Reader(name="plain_loop", start=_peer("bench.archive.peers.plain_loop")),
    Reader(name="file_stream_sink", start=_connect),
)
BY_NAME = {reader.name: reader for reader in READERS}
