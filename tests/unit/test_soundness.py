"""A file that is not a valid segment although its checksums match is found."""

from pathlib import Path
from typing import Any

import pytest
from support.archive.archives import FIRST_MS, ORIGIN, WrittenArchive, forge, numbered
from support.builders import P0

from consumers.archive import new_segment, segment
from consumers.runtime.batch import Batch, Position
from ops.archive.soundness import check


@pytest.fixture
def written(tmp_path: Path) -> WrittenArchive:
    """An empty archive."""
    return WrittenArchive(tmp_path / "archive")


FORGED = {
    "the summary has other offsets": {"last_timestamp_ms": FIRST_MS + 99},
    "the summary has other": {"origins": {ORIGIN: (1, 9)}},
    "has other offsets, times": {"last_sequence": 9},
    "next_offset is not above": {"next_offset": 3, "begins_at": 0},
    "offsets are not in order": {"begins_at": 7},
    "version 9": {"version": 9},
    "but its summary says 5": {"records": 5},
    "line 1 is of tim.callbacks.v1/0": {"partition": 4},
    "its name does not match": {"topic": "other"},
}


@pytest.mark.parametrize(("fault", "fields"), FORGED.items())
async def test_a_wrong_summary_is_found(
    written: WrittenArchive, fault: str, fields: dict[str, Any]
) -> None:
    """Although all checksums match."""
    (name,) = await written.fill(1)
    content = forge(written.path(name).read_bytes(), **fields)
    assert fault in "\n".join(check(name, content).faults)


@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        ("is not a record", b'"offset":1,', b'"offset":,'),
        ("is not a record", b'"key":', b'"offset":"7","key":'),
        ("is not a record", b"}\n", b"\n"),
        ("is not a record", b"red packet", b"red \xff packet"),
        ("is not a record", b',"body":', b',"body_base64":"&","bodi":'),
        ("does not have one body", b',"body":', b',"bodi":'),
        ("offset 1 comes after offset 1", b'"offset":2,', b'"offset":1,'),
        ("of a later hour", f'"timestamp":{FIRST_MS + 3}'.encode(), b'"timestamp":2700000000000'),
    ],
)
async def test_a_line_that_is_not_a_record_is_found(
    written: WrittenArchive, fault: str, old: bytes, new: bytes
) -> None:
    """Although all checksums match."""
    (name,) = await written.fill(1)
    content = written.path(name).read_bytes()
    lines = b"".join(segment.read_lines(content))
    assert old in lines
    forged = forge(content, lines.replace(old, new))
    assert fault in "\n".join(check(name, forged).faults)


@pytest.mark.parametrize("origin", [b"a\0b", b"a\xffb", b"", None])
def test_a_segment_of_foreign_origins_is_sound(origin: bytes | None) -> None:
    """The summary and the lines have the origin in the same, escaped form."""
    records = [
        numbered(n)._replace(offset=n, headers=[("ce_origin", origin), ("ce_sequence", b"%d" % n)])  # type: ignore[list-item]  # Kafka has headers without a value
        for n in (1, 2)
    ]
    name, content = new_segment.of_batch(
        Batch(partition=P0, begins_at=0, reached=Position(3), records=records)
    )
    assert check(name, content).faults == []


def test_a_checked_segment_has_the_places_of_its_records() -> None:
    """By them, absent and doubled sequences are found."""
    records = [numbered(4), numbered(6)._replace(offset=1)]
    name, content = new_segment.of_batch(
        Batch(partition=P0, begins_at=0, reached=Position(3), records=records)
    )
    soundness = check(name, content)
    assert (soundness.faults, soundness.places) == ([], [(ORIGIN, 4), (ORIGIN, 6)])
