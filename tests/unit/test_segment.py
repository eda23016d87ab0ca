"""A segment: any record is one line, and the whole reads back."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
import zstandard
from builders import P0, SAMPLES, a_record, a_stored_batch

from consumers.archive import segment
from consumers.archive.segment import Damaged, Line
from consumers.runtime.batch import Record


def lines_of(content: bytes) -> list[Line]:
    """Return a segment's lines, decoded."""
    return [
        msgspec.json.decode(line, type=Line) for line in segment.read_lines(io.BytesIO(content))
    ]


def test_every_sample_reads_back_byte_for_byte() -> None:
    """Also those with line breaks, which are kept as Base64."""
    records = [a_record(n, value=sample.read_bytes()) for n, sample in enumerate(SAMPLES, 1)]
    lines = lines_of(segment.encode(a_stored_batch(*records)))
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
def test_what_is_no_single_line_of_json_is_kept_as_base64(value: bytes) -> None:
    """A segment is always valid JSON Lines."""
    content = segment.encode(a_stored_batch(a_record(1, value=value), a_record(2)))
    raw = [json.loads(line) for line in segment.read_lines(io.BytesIO(content))]
    assert "body_base64" in raw[0]
    assert "body" not in raw[0]
    assert lines_of(content)[0].value == value


def test_keys_and_headers_of_other_producers_do_not_break_a_line() -> None:
    """They are no UTF-8, or null."""
    odd = Record(1, 0, b"\xff", b"{}", (("a", b"\xff"), ("b", None)))  # type: ignore[arg-type]
    (line,) = lines_of(segment.encode(a_stored_batch(odd)))
    assert (line.key, line.key_base64) == (None, "/w==")
    assert line.headers == {"a": "\\xff", "b": None}


def test_the_name_is_a_function_of_the_first_record() -> None:
    """Hour in UTC, offset in 20 digits: names sort as records do."""
    name = segment.name(P0, a_record(42, timestamp_ms=1_700_000_000_000))
    assert name == "tim.callbacks.v1/0/2023-11-14T22-00000000000000000042.jsonl.zst"
    assert segment.first_offset(name) == 42


def test_the_summary_stands_in_front() -> None:
    """It is read without reading the lines."""
    content = segment.encode(
        a_stored_batch(a_record(5, timestamp_ms=1000), a_record(9, timestamp_ms=2000))
    )
    summary = segment.read_summary(io.BytesIO(content))
    assert (summary.first_offset, summary.last_offset, summary.next_offset) == (5, 9, 10)
    assert (summary.records, summary.first_timestamp_ms, summary.last_timestamp_ms) == (
        2,
        1000,
        2000,
    )
    assert summary.origins == {"o" * 16: (5, 9)}
    assert (summary.last_origin, summary.last_sequence) == ("o" * 16, 9)


def test_a_damaged_segment_is_found() -> None:
    """Any byte of it, in the summary or in the lines."""
    content = segment.encode(a_stored_batch(a_record(1), a_record(2)))
    for at in range(len(content)):
        broken = bytearray(content)
        broken[at] ^= 1
        with pytest.raises(Damaged):
            list(segment.read_lines(io.BytesIO(broken)))
    with pytest.raises(Damaged, match="ends within"):
        segment.read_summary(io.BytesIO(b"\x50"))


def test_zstdcat_reads_over_the_summary(tmp_path: Path) -> None:
    """People read the archive with the tools that they have; Python's library stands in for it."""
    content = segment.encode(a_stored_batch(a_record(1), a_record(2)))
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(content)
    zstdcat = shutil.which("zstdcat")
    if zstdcat:
        read = subprocess.run([zstdcat, path], capture_output=True, check=True).stdout
    else:
        read = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    assert [json.loads(line)["offset"] for line in read.splitlines()] == [1, 2]
