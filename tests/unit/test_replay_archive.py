"""How a replay reads the archive: from a position on, and which gaps it notices."""

import contextlib
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.archive.archives import FIRST, FIRST_MS, WrittenArchive, numbered
from support.builders import P0, P1
from support.kafka.access import plaintext

from consumers.archive.segment import DamagedSegment
from consumers.runtime.batch import Partition
from ops.archive.segments import ArchiveDamaged
from ops.cli import main
from ops.replay.from_archive import archive_source
from ops.replay.replay import Rejecting, reading_source
from ops.replay.selection import ReplaySelection, SourceKind
from ops.replay.source import Part, SourceIncomplete

HOUR = timedelta(hours=1)


def a_selection(**fields: Any) -> ReplaySelection:
    """Return a selection from the archive."""
    return ReplaySelection(source=SourceKind.ARCHIVE, **fields)


async def parts_of(
    written: WrittenArchive, selection: ReplaySelection, positions: Mapping[Partition, int]
) -> list[Part]:
    """Return the parts that are read."""
    source = await archive_source(written.store, selection)
    size = await source.size(positions)
    async with contextlib.aclosing(source.parts(positions)) as parts:
        read = [part async for part in parts]
    assert size == sum(part.size for part in read) == len(read)
    return read


async def test_a_replay_from_the_archive_continues_after_a_position(tmp_path: Path) -> None:
    """Without the segments that were read; each record of the range is read once."""
    written = WrittenArchive(tmp_path / "archive")
    await written.fill(4)
    await written.append(numbered(17), partition=P1, topic_id="an id")
    source = await archive_source(written.store, a_selection())
    assert [await source.topic_id(each) for each in (P0, P1)] == [None, "an id"]
    assert await source.topic_id(Partition("other", 0)) is None
    read = await parts_of(written, a_selection(), {})
    assert [(p.partition, len(p.records), p.next_offset) for p in read] == [
        *((P0, 4, 5), (P0, 4, 10), (P0, 4, 15), (P0, 4, 20)),
        (P1, 1, 2),
    ]
    assert [part.topic_id for part in read] == [None] * 4 + ["an id"]
    for position, segments, records in ((1, 5, 16), (4, 5, 13), (5, 4, 13), (12, 3, 7), (20, 2, 1)):
        left = await parts_of(written, a_selection(), {P0: position})
        assert (len(left), sum(len(part.records) for part in left)) == (segments, records)
    # The hours beside the range are read: the clocks of brokers differ.
    late = await parts_of(written, a_selection(since=FIRST + 2 * HOUR), {})
    assert [[r.offset for r in part.records] for part in late] == [
        [],
        [10, 11, 12, 13],
        [*range(15, 19)],
    ]


async def test_a_gap_in_the_archive_ends_a_replay(tmp_path: Path) -> None:
    """So does a damaged segment; an archive that begins later than the range is named."""
    written = WrittenArchive(tmp_path / "archive")
    names = await written.fill(4)
    complete = a_selection(until=FIRST + 3 * HOUR)
    assert (await archive_source(written.store, complete)).notes == []
    content = written.path(names[2]).read_bytes()
    written.path(names[2]).unlink()
    with pytest.raises(
        SourceIncomplete, match=r"lacks the segments of .*/0 from offset 10 until 15"
    ):
        await parts_of(written, a_selection(), {})
    written.path(names[2]).write_bytes(content[:-1])
    with pytest.raises(DamagedSegment, match=names[2]):
        await parts_of(written, a_selection(), {})
    for path in sorted((written.directory / str(P0)).iterdir())[:2]:
        path.unlink()
    (note,) = (
        await archive_source(written.store, a_selection(since=FIRST, until=FIRST + 3 * HOUR))
    ).notes
    assert "1 of 1 partitions begins in the hour 2023-11-14T23" in note
    later = a_selection(since=FIRST + HOUR, until=FIRST + 3 * HOUR)
    assert (await archive_source(written.store, later)).notes == []


@pytest.mark.parametrize(
    ("missing", "since", "until", "gap"),
    [
        (0, 0, 1, "from offset 0 until 5"),
        (1, 1, 2, "from offset 5 until 10"),
        (2, 1, 2, "from offset 10 until 15"),
        (1, 1, 1, "from offset 5 until 10"),
    ],
)
async def test_a_gap_at_an_edge_of_the_range_ends_a_replay(
    tmp_path: Path, missing: int, since: int, until: int, gap: str
) -> None:
    """The segments right before and after the range show that some of its own are missing."""
    written = WrittenArchive(tmp_path / "archive")
    names = await written.fill(4)
    half = HOUR / 2
    selection = a_selection(
        since=FIRST + since * HOUR + half, until=FIRST + until * HOUR + half + half / 2
    )
    assert len(await parts_of(written, selection, {})) == until - since + 1
    written.path(names[missing]).unlink()
    with pytest.raises(SourceIncomplete, match=gap):
        await parts_of(written, selection, {})


async def test_segments_that_are_missing_after_a_position_end_a_replay(tmp_path: Path) -> None:
    """They were there when the replay was interrupted, or had not been written."""
    written = WrittenArchive(tmp_path / "archive")
    names = await written.fill(4)
    for name in names[:3]:
        written.path(name).unlink()
    with pytest.raises(SourceIncomplete, match="from offset 12 until 15"):
        await parts_of(written, a_selection(), {P0: 12})
    assert len(await parts_of(written, a_selection(), {P0: 15})) == 1


async def test_an_archive_that_ends_before_the_range_is_named(tmp_path: Path) -> None:
    """Its consumer may lag; the end of the chain that ends first is printed."""
    written = WrittenArchive(tmp_path / "archive")
    await written.fill(2)
    await written.append(numbered(17, at_ms=FIRST_MS + 2 * 3_600_000), partition=P1)
    (note,) = (await archive_source(written.store, a_selection(until=FIRST + 2 * HOUR))).notes
    assert f"1 of 2 partitions ends before --until, that of {P0} at 2023-11-14 23:00:00 UTC" in note
    (note,) = (await archive_source(written.store, a_selection())).notes
    assert "2 of 2 partitions ends before now" in note
    none = Partition(P0.topic, 2)
    await written.append(partition=none)
    (note,) = (await archive_source(written.store, a_selection(until=FIRST))).notes
    assert f"1 of 3 partitions ends before --until, that of {none} has no callbacks" in note


async def test_a_damaged_segment_ends_the_command_with_a_code_that_its_help_lists(
    tmp_path: Path,
) -> None:
    """So do the other failures of a source."""
    written = WrittenArchive(tmp_path / "archive")
    (name,) = await written.fill(1)
    written.path(name).write_bytes(written.path(name).read_bytes()[:-1])
    with pytest.raises(ArchiveDamaged, match=name) as damaged:
        async with reading_source(a_selection(), plaintext(""), str(written.directory)) as source:
            _ = [part async for part in source.parts({})]
    output = CliRunner().invoke(main, ["replay", "--help"]).output
    listed = {int(code) for code in re.findall(r"^ +([0-9]+)  +[a-z]", output, re.MULTILINE)}
    assert {damaged.value.exit_code, SourceIncomplete.exit_code, Rejecting.exit_code} <= listed
