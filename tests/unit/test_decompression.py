"""A small segment that unpacks to gigabytes takes little memory, and is reported by its name."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.archive.archives import FIRST, WrittenArchive
from support.archive.bombs import bomb
from support.builders import P0

from consumers.archive import decompression, segment
from consumers.archive.decompression import NotDecompressed, lines_of
from consumers.archive.segment import DamagedSegment
from ops.archive.parquet import copy
from ops.archive.segments import ALL
from ops.archive.soundness import FAULTS_MAX
from ops.audit.archive_reader import ArchiveReader
from ops.audit.ends import Ends
from ops.audit.sources import NotAudited
from ops.audit.tally import Tally
from ops.counters.archived import records_from

UNPACKED_BYTES = 2 << 30
# A command takes some 80 MiB, and the bomb may take the memory of two lines and a step.
RSS_KIB_MAX = 350 << 10


def put_frames(path: Path, frames: bytes, **fields: object) -> None:
    """Replace the frames of a segment's file; its checksums match."""
    summary = segment.read_summary(path.read_bytes())
    sha256 = hashlib.sha256(frames).hexdigest()
    changed = msgspec.structs.replace(summary, sha256=sha256, **fields)
    path.write_bytes(segment.file_content(changed, frames))


@pytest.fixture
async def bombed(tmp_path: Path) -> tuple[WrittenArchive, str]:
    """Return an archive of three segments whose second one is a bomb, and the name of that one."""
    written = WrittenArchive(tmp_path / "archive")
    _, name, _ = await written.fill(3)
    put_frames(written.path(name), bomb(UNPACKED_BYTES))
    assert written.path(name).stat().st_size < 70_000
    return written, name


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


async def test_every_other_reader_names_the_segment(bombed: tuple[WrittenArchive, str]) -> None:
    """The audit, the Parquet copy, and counting again end with an error that has the name."""
    written, name = bombed
    tally = Tally(Ends(), [], audits_postgres=False, audits_counts=False)
    with pytest.raises(NotAudited, match=f"{name}: a line has more than"):
        await ArchiveReader(written.store).read(tally)
    with pytest.raises(DamagedSegment, match=f"{name}: a line has more than"):
        async for _ in copy(
            written.store, written.directory / "to", only=ALL, now=FIRST + timedelta(days=9)
        ):
            pass
    with pytest.raises(DamagedSegment, match=f"{name}: a line has more than"):
        async for _ in records_from(written.store, P0, 0):
            pass


async def test_the_summary_bounds_the_number_of_lines(
    bombed: tuple[WrittenArchive, str],
) -> None:
    """The bomb may have short lines."""
    written, name = bombed
    put_frames(written.path(name), bomb(UNPACKED_BYTES, b"\n"))
    read = segment.read_lines(written.path(name).read_bytes())
    with pytest.raises(DamagedSegment, match="it has more lines than its summary says: 4"):
        list(read)


def test_a_frame_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for what it unpacks to, and one for the memory that its decompression takes."""
    with pytest.raises(NotDecompressed, match="too much memory"):
        list(lines_of(memoryview(bomb(1 << 20, window_log=24))))
    monkeypatch.setattr(decompression, "FRAME_BYTES_MAX", 1 << 20)
    assert sum(map(len, lines_of(memoryview(2 * bomb(1 << 20))))) == 2 << 20
    with pytest.raises(NotDecompressed, match="unpacks to more than 1048576 bytes"):
        list(lines_of(memoryview(bomb(2 << 20))))


@given(
    st.lists(st.lists(st.binary(max_size=9).map(lambda text: text * 99), max_size=5), max_size=5),
    st.integers(1, 64),
)
def test_lines_are_those_that_were_compressed(frames: list[list[bytes]], step_bytes: int) -> None:
    """Whatever the frames and the steps are; a skippable frame between them is skipped."""
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    texts = [b"\n".join(lines) for lines in frames]
    skipped = b"\x51\x2a\x4d\x18\x03\0\0\0abc"
    content = skipped.join(map(compressor.compress, texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompression, "STEP_BYTES", step_bytes)
        assert b"".join(lines_of(memoryview(content))) == b"".join(texts)
        lines = list(lines_of(memoryview(content)))
        assert all(line.endswith(b"\n") for line in lines[:-1])
        assert all(line.count(b"\n") <= 1 for line in lines)
        if texts and content:
            with pytest.raises(NotDecompressed):
                list(lines_of(memoryview(content)[:-1]))
