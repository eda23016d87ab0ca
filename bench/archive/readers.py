"""The readers to measure: this archive and its peers, each started as its documentation says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.archive import connect
from bench.processes import consumed, start
from bench.readers import ASK_S, Started, Task, peer
from ops.demo.embedded import child

# The setting that says where the archive is, and the one that closes its last segments soon.
WHERE = "ARCHIVE_URL"
SEGMENT_AGE_S = 1


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
        processes=[process],
        begun=lambda: child.listens(port),
        ended=lambda: consumed(port) >= task.records,
        look_s=ASK_S,
    )


def archive(task: Task) -> Path:
    """Return the directory of the archive."""
    return task.directory / "archive"


def _connect(task: Task) -> Started:
    values = task.directory / connect.VALUES
    # A line feed after each value.
    expected = task.value_bytes + task.records
    return Started(
        processes=[connect.start(task.kafka, task.directory.name, task.directory)],
        begun=values.exists,
        ended=lambda: values.stat().st_size >= expected,
    )


READERS = (
    Reader(name="hookline", start=_hookline, keeps=True),
    Reader(name="counting", start=peer("bench.peers.counting", "default")),
    Reader(name="counting_tamed", start=peer("bench.peers.counting", "tamed")),
    Reader(name="plain_loop", start=peer("bench.archive.peers.plain_loop")),
    Reader(name="file_stream_sink", start=_connect),
)
BY_NAME = {reader.name: reader for reader in READERS}
