"""An audit reads the archive in rounds; segments that were read must not disappear."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive.archives import WrittenArchive, numbered

from ops.audit.archive_reader import ArchiveReader
from ops.audit.sources import AuditFailed, ReadAgain
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally


def a_tally() -> Tally:
    """Return a tally that has seen nothing."""
    return Tally(SpoolEnds(), [], audits_postgres=False, audits_counts=False)


@pytest.mark.parametrize(
    "delete",
    [
        lambda first, _: first.unlink(),
        lambda _, last: last.unlink(),
        lambda first, _: shutil.rmtree(first.parent),
    ],
    ids=["first", "last", "all"],
)
async def test_segments_that_disappear_between_two_rounds_are_noticed(
    tmp_path: Path, delete: Callable[[Path, Path], None]
) -> None:
    """Then the audit reads the whole archive again; otherwise it reads each segment once."""
    written, tally = WrittenArchive(tmp_path / "archive"), a_tally()
    first = await written.append(numbered(1), numbered(2))
    reader = ArchiveReader(written.store)
    await reader.read(tally)
    second = await written.append(numbered(3))
    for _ in range(2):
        await reader.read(tally)
    assert tally.line_count == 3
    delete(written.directory / first, written.directory / second)
    with pytest.raises(ReadAgain, match="were deleted from the archive"):
        await reader.read(tally)


async def test_a_segment_that_is_deleted_after_it_was_listed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are listed again, and no segment is read twice."""
    written, tally = WrittenArchive(tmp_path / "archive"), a_tally()
    names = [await written.append(numbered(n)) for n in (1, 2, 3)]
    read = written.store.read

    async def read_late(name: str) -> bytes:
        if name == names[1]:
            (written.directory / name).unlink(missing_ok=True)
        return await read(name)

    monkeypatch.setattr(written.store, "read", read_late)
    await ArchiveReader(written.store).read(tally)
    assert tally.line_count == 2


async def test_a_damaged_segment_is_not_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names it, and the command that examines it; no reading goes on."""
    written = WrittenArchive(tmp_path / "archive")
    name = await written.append(numbered(1), numbered(2))
    later = await written.append(numbered(3))
    path = written.directory / name
    path.write_bytes(path.read_bytes()[:-3])
    read = written.store.read

    async def read_or_hang(name: str) -> bytes:
        if name == later:
            await asyncio.Event().wait()
        return await read(name)

    monkeypatch.setattr(written.store, "read", read_or_hang)
    with pytest.raises(AuditFailed, match="hookline archive verify"):
        await ArchiveReader(written.store).read(a_tally())
    assert asyncio.all_tasks() == {asyncio.current_task()}
