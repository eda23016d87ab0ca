"""Commands on a small segment that unpacks to gigabytes: they take little memory, and name it."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.archive.archives import WrittenArchive
from support.archive.bombs import UNPACKED_BYTES, bomb, put_frames

from consumers.archive import decompression
from ops.archive.soundness import FAULTS_MAX

# A command takes some 80 MiB, and the bomb may take the memory of two lines and a step.
RSS_KIB_MAX = 350 << 10


def hookline(*arguments: object) -> tuple[int, str, int]:
    """Run a command; return its exit code, its output and its largest memory in KiB."""
    code = "from ops.cli import command; command()"
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], stdout=output, stderr=output
        )
        _, status, usage = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return started.returncode, output.read().decode(), usage.ru_maxrss


def test_commands_report_a_bomb_in_bounded_memory(tmp_path: Path) -> None:
    """Verify counts each bomb as damaged and goes on; cat ends with the name of the first."""
    written = WrittenArchive(tmp_path / "archive")
    _, long_line, many_lines, _ = asyncio.run(written.fill(4))
    put_frames(written.path(long_line), bomb(UNPACKED_BYTES))
    put_frames(written.path(many_lines), bomb(UNPACKED_BYTES, b"\n"), records=10**9)
    code, output, rss_kib = hookline("archive", "verify", "--archive", written.directory, "--json")
    assert code == 1
    verified = json.loads(output.splitlines()[-1])
    faults = dict(reversed(verified["faults"]))
    assert faults[long_line] == f"a line has more than {decompression.LINE_BYTES_MAX} bytes"
    assert f"it has {FAULTS_MAX} faults" in faults[many_lines]
    assert (verified["segments"], verified["records"]) == (5, 8)
    assert rss_kib < RSS_KIB_MAX
    code, output, rss_kib = hookline("archive", "cat", "--archive", written.directory)
    assert code == 1
    assert f"hookline: {long_line}: a line has more than" in output
    assert rss_kib < RSS_KIB_MAX
    code, output, rss_kib = hookline(
        *("find", "0" * 32, "--archive", written.directory, "--no-kafka"),
        *("--since", "2023-11-14", "--until", "2023-11-16"),
    )
    assert code == 2
    assert f"{long_line}: a line has more than" in " ".join(output.split())
    assert rss_kib < RSS_KIB_MAX
