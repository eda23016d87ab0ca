"""Processes that read the whole preloaded topic, and how to wait until they have done it."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers.reading import BEGUN, ENDED
from bench.processes import start
from ops.demo.embedded import child

START_S_MAX = 180.0
# A reader that takes longer is stuck.
RECORDS_PER_S_MIN = 2000
# Reading a consumer's metrics costs it some CPU; looking for a file costs nothing.
ASK_S, LOOK_S = 0.1, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    The task of one reader. `directory` is its own, for everything that it writes.

    `value_bytes` are the bytes of the values of all records.
    """

    kafka: str
    records: int
    directory: Path
    value_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """
    A reader's processes. `begun`: before its first request to Kafka; `ended`: all is applied.

    `applied`, if it is known, is the number of records that are applied so far.
    """

    processes: Sequence[subprocess.Popen[bytes]]
    begun: Callable[[], bool]
    ended: Callable[[], bool]
    look_s: float = LOOK_S
    applied: Callable[[], float] | None = None

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self.processes]

    def wait(self, holds: Callable[[], bool], does: str, timeout_s: float) -> None:
        """
        Return when the condition holds.

        Raises:
            NotStarted: a process has ended, or the condition does not hold within the time.
        """
        deadline = time.monotonic() + timeout_s
        while not holds():
            if any(process.poll() is not None for process in self.processes):
                raise child.NotStarted("the reader ended early")
            if time.monotonic() > deadline:
                raise child.NotStarted(f"not within {timeout_s:.0f} s: the reader {does}")
            time.sleep(self.look_s)

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            child.stop(process)


def peer(*command: str) -> Callable[[Task], Started]:
    """Return how to start a Python module that reads the topic as bench/peers/reading.py does."""
    return lambda task: start_peer(command, task, {})


def start_peer(command: Sequence[str], task: Task, variables: Mapping[str, str]) -> Started:
    """Start a peer with its task, and further variables, in its environment."""
    common = {
        "KAFKA": task.kafka,
        "GROUP": task.directory.name,
        "RECORDS": str(task.records),
        "DIRECTORY": str(task.directory),
    }
    return Started(
        processes=[start(command, common | dict(variables), task.directory / "peer.log")],
        begun=(task.directory / BEGUN).exists,
        ended=(task.directory / ENDED).exists,
    )


def logged(fault: child.NotStarted, name: str, directory: Path) -> child.NotStarted:
    """Return the fault of a reader with its logs, whose directory is deleted soon."""
    said = "".join(path.read_text()[-1000:] for path in sorted(directory.glob("*.log")))
    return child.NotStarted(f"{name}: {fault}; its log:\n{said}")
