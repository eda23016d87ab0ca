"""A small segment that unpacks to gigabytes takes little memory, and is reported by its name."""

from datetime import timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.archive.archives import FIRST, WrittenArchive
from support.archive.bombs import UNPACKED_BYTES, bomb, put_frames
from support.builders import P0

from consumers.archive import decompression, segment
from consumers.archive.decompression import NotDecompressed, lines_of
from consumers.archive.segment import DamagedSegment
from ops.archive.parquet import copy
from ops.archive.segments import ALL
from ops.audit.archive_reader import ArchiveReader
from ops.audit.sources import AuditFailed
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.counters.archived import records_from


@pytest.fixture
async def bombed(tmp_path: Path) -> tuple[WrittenArchive, str]:
    """Return an archive of three segments whose second one is a bomb, and the name of that one."""
    written = WrittenArchive(tmp_path / "archive")
    _, name, _ = await written.fill(3)
    put_frames(written.path(name), bomb(UNPACKED_BYTES))
    assert written.path(name).stat().st_size < 70_000
    return written, name


async def test_every_other_reader_names_the_segment(bombed: tuple[WrittenArchive, str]) -> None:
    """The audit, the Parquet copy, and counting again end with an error that has the name."""
    written, name = bombed
    tally = Tally(SpoolEnds(), [], audits_postgres=False, audits_counts=False)
    with pytest.raises(AuditFailed, match=f"{name}: a line has more than"):
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
