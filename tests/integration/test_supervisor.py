"""The demo's supervisor on a full disk: it continues and restarts services that end."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.own_disk import mounted_disk, own_disk
from support.processes.blackbox import until

from ops.demo.embedded import child

SCRIPT = Path(__file__).parents[1] / "support/processes/supervised_stack.py"
DISK_BYTES = 1 << 20
SERVICES = ("one", "two")


def runs(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def fill(path: Path) -> None:
    """Write until the disk has no free page."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.timeout(600)
def test_a_full_disk_does_not_end_the_supervisor(tmp_path: Path) -> None:
    """Pid files cannot be written; services are started nevertheless, and noted later."""
    disk = mounted_disk(tmp_path)
    log = tmp_path / "supervisor.log"
    process = child.start(
        [*own_disk(disk, DISK_BYTES), sys.executable, SCRIPT, disk / "stack"], log=log
    )
    seen_from_here = Path(f"/proc/{process.pid}/root{disk}")
    pids = seen_from_here / "stack" / "pids"

    def noted() -> dict[str, int]:
        pid_by_service = {}
        for name in SERVICES:
            with contextlib.suppress(OSError, ValueError):
                pid_by_service[name] = int((pids / name).read_text())
        return pid_by_service

    def restarted(before: dict[str, int]) -> bool:
        now = noted()
        return len(now) == len(SERVICES) and all(
            now[name] != before[name] and runs(now[name]) for name in SERVICES
        )

    try:
        until(lambda: len(noted()) == len(SERVICES), "both services run")
        first = noted()
        fill(seen_from_here / "ballast")
        for round_ in (1, 2):
            for pid in children(process):
                os.kill(pid, signal.SIGKILL)
            until(
                lambda said=round_: (
                    log.read_text().count("starting it again") >= said * len(SERVICES)
                ),  # type: ignore[misc]
                "both services are started again",
            )
            until(lambda: len(children(process)) == len(SERVICES), "both services run")
            assert process.poll() is None, log.read_text()
        assert noted() == first
        assert log.read_text().count("No space left on device") >= 1
        (seen_from_here / "ballast").unlink()
        until(lambda: restarted(first), "the pid files are right again")
        second = noted()
        for pid in second.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: restarted(second), "both services are started again")
    finally:
        child.kill(process)
    print(f"{log.read_text().count('restarting')} restarts")  # noqa: T201


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the running children of a process."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split() if runs(int(pid))]
