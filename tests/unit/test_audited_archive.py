"""An audit reads the archive in rounds; segments that were read must not disappear."""

from pathlib import Path

import pytest
from support.archive.archives import WrittenArchive, numbered

from ops.audit.audit import _Audit
from ops.audit.ends import Ends
from ops.audit.sources import NotAudited, ReadAgain, Sources


async def no_spool() -> Ends:
    """Return no ends."""
    return Ends()


async def test_segments_that_disappear_between_two_rounds_are_noticed(tmp_path: Path) -> None:
    """Then the audit reads the whole archive again; otherwise it reads each segment once."""
    written = WrittenArchive(tmp_path / "archive")
    await written.append(numbered(1), numbered(2))
    auditing = _Audit(Ends(), no_spool, Sources(bootstrap_servers="", archive=""), [])
    await auditing.read_archive(written.store)
    second = await written.append(numbered(3))
    await auditing.read_archive(written.store)
    assert auditing.tally.lines == 3
    (written.directory / second).unlink()
    with pytest.raises(ReadAgain, match=second):
        await auditing.read_archive(written.store)


async def test_a_damaged_segment_is_not_audited(tmp_path: Path) -> None:
    """The error names it, and the command that examines it."""
    written = WrittenArchive(tmp_path / "archive")
    name = await written.append(numbered(1), numbered(2))
    path = written.directory / name
    path.write_bytes(path.read_bytes()[:-3])
    auditing = _Audit(Ends(), no_spool, Sources(bootstrap_servers="", archive=""), [])
    with pytest.raises(NotAudited, match="hookline archive verify"):
        await auditing.read_archive(written.store)
