"""A segment: each record is one line, from which its value can be read back."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import zstandard
from support.builders import P0, SAMPLES, a_record, a_stored_batch

from consumers.archive import lines, new_segment, segment, segment_name
from consumers.archive.frames import Frames
from consumers.archive.segment import DamagedSegment, Line
from consumers.runtime.batch import Position, Record


def lines_of(content: bytes) -> list[Line]:
    """Return a segment's lines, decoded."""
    return [msgspec.json.decode(line, type=Line) for line in segment.read_lines(content)]


def encode(*records: Record) -> bytes:
    """Return the segment of a batch."""
    return new_segment.of_batch(a_stored_batch(*records))[1]


def test_every_sample_reads_back_byte_for_byte() -> None:
    """Bodies with line breaks are kept as Base64."""
    records = [a_record(n, value=sample.read_bytes()) for n, sample in enumerate(SAMPLES, 1)]
    lines = lines_of(encode(*records))
    assert [line.value for line in lines] == [sample.read_bytes() for sample in SAMPLES]
    assert [line.offset for line in lines] == list(range(1, len(SAMPLES) + 1))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\x00",
        b"{",
        b'{"a":\r\n1}',
        b'\xef\xbb\xbf{"a":1}',
        b' {"a":1}',
        b"1\t",
        b"[" * 1024 + b"]" * 1024,
    ],
)
def test_a_value_that_is_not_one_line_of_json_is_kept_as_base64(value: bytes) -> None:
    """A segment is always valid JSON Lines."""
    content = encode(a_record(1, value=value), a_record(2))
    raw = [json.loads(line) for line in segment.read_lines(content)]
    assert "body_base64" in raw[0]
    assert "body" not in raw[0]
    assert lines_of(content)[0].value == value


def test_a_value_that_is_nested_too_deep_for_the_caller_is_kept_as_base64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before Python 3.12 the caller's own depth counts, so any body may be too deep."""

    def too_deep(_: bytes) -> None:
        raise RecursionError

    monkeypatch.setattr(lines, "_raw", too_deep)
    made = lines.to_lines(P0, [a_record(5)])
    assert b'"body_base64":' in made.text


def test_a_number_of_any_size_is_json() -> None:
    """RFC 8259 has no limit; readers of lines have their own limits, or none."""
    value = b'{"n":1e999,"m":' + b"1" * 400 + b"}"
    (line,) = lines_of(encode(a_record(1, value=value)))
    assert (line.value, line.body_base64) == (value, None)


def test_keys_and_headers_of_other_producers_do_not_break_a_line() -> None:
    """They may be invalid UTF-8, or null."""
    odd = Record(1, 0, b"\xff", b"{}", (("a", b"\xff"), ("b", None)))  # type: ignore[arg-type]
    (line,) = lines_of(encode(odd))
    assert (line.key, line.key_base64) == (None, "/w==")
    assert line.headers == {"a": "\\xff", "b": None}


def test_the_name_is_a_function_of_the_first_record() -> None:
    """It is the offset in 20 digits, then the hour in UTC, so names sort in the chain's order."""
    name, _ = new_segment.of_batch(a_stored_batch(a_record(42, timestamp_ms=1_700_000_000_000)))
    assert name == "tim.callbacks.v1/0/00000000000000000042-2023-11-14T22.jsonl.zst"
    assert (segment_name.first_offset(name), segment_name.hour(name)) == (42, "2023-11-14T22")
    later, _ = new_segment.of_batch(a_stored_batch(a_record(100, timestamp_ms=1_600_000_000_000)))
    assert segment_name.of_beginning(P0, 42) < name < segment_name.of_beginning(P0, 43) < later


@pytest.mark.parametrize(
    "name",
    [
        "2023-11-14T22-00000000000000000042.jsonl.zst",
        "0000000000000000042-2023-11-14T22.jsonl.zst",
        "00000000000000000042-2023-11-14T22.jsonl.zst.part",
        ".00000000000000000042-2023-11-14T22.jsonl.zst",
        "0000000000000000004\u0664-2023-11-14T22.jsonl.zst",
        "notes.txt",
        "",
    ],
)
def test_names_of_other_files_are_not_segment_names(name: str) -> None:
    """A person or a tool may leave such files in the directory."""
    assert not segment_name.is_name(f"tim.callbacks.v1/0/{name}")
    assert not segment_name.is_name(name)


def test_the_summary_comes_first() -> None:
    """It can be read without the lines."""
    content = encode(a_record(5, timestamp_ms=1000), a_record(9, timestamp_ms=2000))
    summary = segment.read_summary(content)
    assert (summary.first_offset, summary.last_offset, summary.next_offset) == (5, 9, 10)
    assert (summary.records, summary.first_timestamp_ms, summary.last_timestamp_ms) == (
        2,
        1000,
        2000,
    )
    assert summary.origins == {"o" * 16: (5, 9)}
    assert (summary.last_origin, summary.last_sequence) == ("o" * 16, 9)


async def test_frames_of_a_batch_become_one_segment() -> None:
    """Lines, bounds and sequences are those of a segment with a single frame."""
    records = [a_record(offset, timestamp_ms=offset) for offset in (7, 5, 6)]
    records = [record._replace(offset=40 + n) for n, record in enumerate(records)]
    packed = Frames(P0, ThreadPoolExecutor(1))
    for record in records:
        taken = [record]
        await packed.add(taken)
        assert taken == []
    whole = replace(a_stored_batch(*records), records=(), packed=packed)
    name, content = new_segment.of_batch(whole)
    assert name == new_segment.of_batch(a_stored_batch(*records))[0]
    assert [line.offset for line in lines_of(content)] == [40, 41, 42]
    summary = segment.read_summary(content)
    expected = segment.read_summary(encode(*records))
    assert summary.origins == expected.origins == {"o" * 16: (5, 7)}
    assert (summary.position, summary.records) == (expected.position, 3)
    assert summary.position == Position(43, (42, "o" * 16, 6))


def test_segments_without_records_have_the_position_of_the_chain() -> None:
    """The beginning of a chain has one name for all positions; another follows markers."""
    names, positions = set(), []
    for offset in (0, 7):
        name, content = new_segment.beginning(P0, Position(offset))
        names.add(name)
        positions.append(segment.read_summary(content).position)
        assert lines_of(content) == []
    assert names == {"tim.callbacks.v1/0/00000000000000000000-0001-01-01T00.jsonl.zst"}
    assert positions == [Position(0), Position(7)]
    after_record = segment.read_summary(encode(a_record(5)))
    name, content = new_segment.of_markers(after_record, Position(9))
    link = segment.read_summary(content)
    assert name == "tim.callbacks.v1/0/00000000000000000006-2023-11-14T22.jsonl.zst"
    assert (link.first_offset, link.position) == (6, Position(9, after_record.position.last))
    assert lines_of(content) == []


def test_a_damaged_segment_is_found() -> None:
    """Any byte may be damaged, in the summary or in the lines."""
    content = encode(a_record(1), a_record(2))
    for at in range(len(content)):
        broken = bytearray(content)
        broken[at] ^= 1
        with pytest.raises(DamagedSegment):
            list(segment.read_lines(bytes(broken)))
    with pytest.raises(DamagedSegment, match="ends within"):
        segment.read_summary(b"\x50")


def test_zstdcat_skips_the_summary(tmp_path: Path) -> None:
    """Operators read the archive with their own tools; without zstdcat use Python's library."""
    content = encode(a_record(1), a_record(2))
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(content)
    zstdcat = shutil.which("zstdcat")
    if zstdcat:
        read = subprocess.run([zstdcat, path], capture_output=True, check=True).stdout
    else:
        read = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    assert [json.loads(line)["offset"] for line in read.splitlines()] == [1, 2]
