"""The Parquet copy has each record of the closed hours once, with typed columns."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from support.archive.archives import FIRST, FIRST_MS, ORIGIN, WrittenArchive, copied, numbered, rows
from support.builders import P1, SAMPLES, a_body

from consumers.archive.segment import DamagedSegment
from consumers.runtime.batch import Record
from ops.archive import parquet
from ops.archive.columns import body_fields
from ops.archive.parquet import HourCopy
from schemas.body import parse
from schemas.payload import PAYLOADS


async def test_closed_hours_are_copied_once(tmp_path: Path) -> None:
    """An hour is closed two hours after its end; a complete copy is kept."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    await written.fill(3)
    await written.append(numbered(13), partition=P1)
    assert await copied(written, to, hours=2.9) == []
    (first,) = await copied(written, to, hours=3.1)
    assert first == HourCopy(path=to / "tim.callbacks.v1/2023-11-14T22.parquet", record_count=5)
    before = first.path.stat()
    none, second, third = await copied(written, to, hours=6)
    assert (none, second and second.record_count, third and third.record_count) == (None, 4, 4)
    assert await copied(written, to, hours=6) == [None, None, None]
    after = first.path.stat()
    # The time of access may have changed, because DuckDB has read the file.
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(path.name for path in (to / "tim.callbacks.v1").iterdir()) == [
        "2023-11-14T22.parquet",
        "2023-11-14T23.parquet",
        "2023-11-15T00.parquet",
    ]
    assert [row["ce_sequence"] for row in rows(to)] == list(range(1, 14))


async def test_an_hour_is_copied_again_if_segments_were_added(tmp_path: Path) -> None:
    """The archive may have lagged. Records that have expired since stay in the copy."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    (name,) = await written.fill(1)
    await copied(written, to, hours=9)
    await written.append(markers=4)
    assert await copied(written, to, hours=9) == [None]
    await written.append(numbered(5, at_ms=FIRST_MS + 9))
    (again,) = await copied(written, to, hours=9)
    assert again is not None
    assert again.record_count == 5
    written.path(name).unlink()
    assert await copied(written, to, hours=9) == [None]
    assert len(rows(to)) == 5
    # It also stays if more segments of the hour are added.
    await written.append(numbered(6, at_ms=FIRST_MS + 10))
    assert await copied(written, to, hours=9) == [None]
    assert len(rows(to)) == 5


BODIES = [
    *(sample.read_bytes() for sample in SAMPLES),
    b"\xef\xbb\xbf" + a_body(MsgSeq="12", MsgTime=1_700_000_000, From_Account=77),
    a_body(CloudCustomData="a\0b", MsgRandom=-1, MsgSeq=1 << 40, MsgTime=[], MsgBody=3),
    a_body(CloudCustomData="x").replace(b'"x"', b'"\\ud800 \\\\ud800"'),
    a_body().replace(b"}]}", b'}],\r\n"big": 1E5}'),
]


async def test_every_field_has_its_type_and_the_body_its_characters(tmp_path: Path) -> None:
    """A value of an unusual type is null; the body is always as it was sent."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    await written.append(*(numbered(at, body) for at, body in enumerate(BODIES, 1)))
    await copied(written, to, hours=9)
    parquet_rows = rows(to)
    assert [row["body"].encode() for row in parquet_rows] == BODIES
    for row, body in zip(parquet_rows, BODIES, strict=True):
        document = parse(body)
        assert row["ce_type"] == document["CallbackCommand"]
        sender = document.get("From_Account")
        assert row["From_Account"] == (None if sender is None else str(sender))
        if row["ce_sequence"] <= len(SAMPLES):
            for field in set(body_fields()) - {"MsgBody", "Info", "EventTime"}:
                assert row[field] == document.get(field), field
            time = document.get("EventTime")
            assert row["EventTime"] == (None if time is None else int(time))
            assert row["Info"] == document.get("Info")
            elements = [
                {"MsgType": each["MsgType"], "MsgContent": json.loads(each["MsgContent"])}
                for each in row["MsgBody"] or ()
            ]
            assert elements == document.get("MsgBody", [])
    first, bom, odd, lone = parquet_rows[0], *parquet_rows[-4:-1]
    assert (first["ce_time"], first["timestamp"]) == (FIRST, FIRST)
    assert (first["ce_origin"], first["partition"], first["offset"]) == (ORIGIN, 0, 0)
    assert (bom["MsgSeq"], bom["MsgTime"], bom["From_Account"]) == (12, 1_700_000_000, "77")
    assert (odd["MsgRandom"], odd["MsgSeq"], odd["MsgTime"], odd["MsgBody"]) == (None,) * 4
    assert odd["CloudCustomData"] == "a\0b"
    assert lone["CloudCustomData"] == "\\ud800 \\ud800"


async def test_records_of_other_producers_are_copied_too(tmp_path: Path) -> None:
    """Their records may lack body and headers; a body may not be UTF-8 or not an object."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    values = (b"", b"\xff", b"[1]", b"{", b'"x"')
    await written.append(*(Record(0, FIRST_MS, None, value, ()) for value in values))
    await copied(written, to, hours=9)
    assert [row["body"] for row in rows(to)] == ["", None, "[1]", "{", '"x"']
    assert {row["ce_sequence"] for row in rows(to)} == {None}


async def test_an_hour_with_a_damaged_segment_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of the hour remains, and the next segment is not read any more."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    (name,) = await written.fill(1)
    later = await written.append(numbered(5))
    content = written.path(name).read_bytes()
    written.path(name).write_bytes(content[:-1])
    read = written.store.read

    async def read_or_hang(name: str) -> bytes:
        if name == later:
            await asyncio.Event().wait()
        return await read(name)

    monkeypatch.setattr(written.store, "read", read_or_hang)
    with pytest.raises(DamagedSegment, match=name):
        await copied(written, to, hours=9)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert list((to / "tim.callbacks.v1").iterdir()) == []


async def test_large_bodies_are_copied(tmp_path: Path) -> None:
    """A body of the ingress's maximum size grows further when it is escaped."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    large = a_body(CloudCustomData='"' * (8 << 20))
    await written.append(numbered(1, large), numbered(2))
    await copied(written, to, hours=9)
    assert [row["CloudCustomData"] for row in rows(to)] == ['"' * (8 << 20), None]


def test_every_field_of_every_command_has_a_column() -> None:
    """A new field of a struct becomes a new column."""
    fields = body_fields()
    for payload in PAYLOADS.values():
        for field in payload.__struct_encode_fields__:
            assert field == "CallbackCommand" or field in fields


async def test_without_duckdb_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes before any segment is read."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    written = WrittenArchive(tmp_path / "archive")
    with pytest.raises(parquet.NoDuckDB, match=r"pip install '\.\[analysis\]'"):
        await copied(written, tmp_path / "copy", hours=9)
