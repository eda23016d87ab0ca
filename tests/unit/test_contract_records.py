"""The headers, lines and actions that Hookline writes fit the schemas in docs/contract."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.builders import P0, a_body, a_callback, a_stored_batch, a_stored_record
from support.contract_schemas import faults, header_faults, schema, undeclared

from consumers.archive import new_segment
from consumers.archive.lines import to_lines
from consumers.archive.segment import Line, SegmentSummary, read_summary
from consumers.runtime.batch import Position
from schemas.body import Malformed
from schemas.dead_letter import KAFKA_PRODUCE, DeadLetterReason, reason_headers
from schemas.dead_letter_actions import Action, ActionResult, Letter, encoded
from schemas.outgoing_record import (
    main_topic_record,
    malformed_record,
    refused_record,
    with_place_and_id,
)

ROOT = Path(__file__).parents[2]
ORIGIN = "0123456789abcdef"
OF_A_CONSUMER = DeadLetterReason(
    topic="tim.callbacks.v1",
    partition=0,
    offset=0,
    component="sync",
    group="sync",
    stage="TASK_PUT",
    exception="Rejected",
    message="",
    attempts=1,
    first_failed_at_ms=1_700_000_000_000,
    last_failed_at_ms=1_700_000_000_001,
)


def test_every_dead_letter_fits() -> None:
    """Malformed, refused by Kafka, or rejected by a consumer; also without a command."""
    malformed = Malformed("the body is not JSON")
    record = main_topic_record(a_callback())
    letters = [
        malformed_record(a_callback(b"{"), malformed).headers,
        malformed_record(a_callback(b"{", command="\u00e9" * 300), malformed).headers,
        refused_record(record, ValueError(""), 1_700_000_000_000).headers,
        record.headers + reason_headers(OF_A_CONSUMER),
    ]
    seen = set()
    for letter in letters:
        headers = with_place_and_id(letter, ORIGIN, 1)
        seen |= {name for name, _ in headers}
        assert header_faults(headers, "DeadLetterHeaders") == []
        assert header_faults(headers) == []
        assert undeclared(headers, "RecordHeaders", "DeadLetterHeaders") == set()
        assert dict(headers)["__connect.errors.stage"].decode() in STAGES
    assert seen == {*schema("RecordHeaders")["properties"], *LETTER_HEADERS}


LETTER_HEADERS = schema("DeadLetterHeaders")["properties"]
STAGES = LETTER_HEADERS["__connect.errors.stage"]["enum"]


def test_another_stage_does_not_fit() -> None:
    """Readers may rely on the three that the code has."""
    texts = {name: value.decode() for name, value in reason_headers(OF_A_CONSUMER)}
    assert faults("DeadLetterHeaders", texts) == []
    assert faults("DeadLetterHeaders", texts | {"__connect.errors.stage": "HEADER_CONVERTER"})
    assert KAFKA_PRODUCE in STAGES


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_specversion", "0.3"),
        ("ce_id", "g" * 32),
        ("ce_source", "/other/1"),
        ("ce_type", ""),
        ("ce_time", "2026-01-31 09:00:00Z"),
        ("content-type", "text/plain"),
        ("ce_sdkappid", "-1"),
        ("ce_origin", "0123"),
        ("ce_sequence", "0"),
    ],
)
def test_a_wrong_header_and_a_missing_one_do_not_fit(header: str, value: str) -> None:
    """The schemas are able to find faults."""
    headers = dict(with_place_and_id(main_topic_record(a_callback()).headers, ORIGIN, 7))
    texts = {name: text.decode() for name, text in headers.items()}
    assert faults("RecordHeaders", texts | {header: value})
    assert faults("RecordHeaders", {name: texts[name] for name in texts if name != header})


@pytest.mark.parametrize("body", [a_body(), b"\xef\xbb\xbf{}", b'{"a":\n1}', b"\xff", b"1"])
@pytest.mark.parametrize("key", [b"key", None, b"\xff"])
def test_every_line_of_the_archive_fits(body: bytes, key: bytes | None) -> None:
    """Also those of records that no ingress wrote."""
    record = a_stored_record(3)._replace(key=key, value=body)
    foreign = record._replace(headers=(("a", b"\xff"), ("a", b"")))
    for line in to_lines(P0, [record, foreign]).text.splitlines():
        assert faults("ArchiveLine", json.loads(line)) == []
        for name in ("key", "body"):
            assert faults("ArchiveLine", without(json.loads(line), name))


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a line without its key or body, in whatever form they are."""
    return {k: v for k, v in document.items() if k not in {name, f"{name}_base64"}}


def summary_of(segment: tuple[str, bytes]) -> Mapping[str, Any]:
    """Return the summary of a segment as its JSON has it."""
    summary: dict[str, Any] = json.loads(msgspec.json.encode(read_summary(segment[1])))
    return summary


def test_the_summary_of_every_kind_of_segment_fits() -> None:
    """With records, of markers alone, and of a chain's beginning, also after an expiry."""
    with_records = new_segment.of_batch(a_stored_batch(a_stored_record(2), a_stored_record(5)))
    summary = read_summary(with_records[1])
    after = Position(summary.next_offset + 5, (2, ORIGIN, 3), None)
    for segment in (
        with_records,
        new_segment.of_markers(summary, after),
        new_segment.beginning(P0, Position(0, None, None)),
        new_segment.moved_beginning([summary]),
    ):
        assert faults("ArchiveSummary", summary_of(segment)) == []
    assert faults("ArchiveSummary", {**summary_of(with_records), "version": 2})


@pytest.mark.parametrize(
    ("name", "struct"),
    [("ArchiveLine", Line), ("ArchiveSummary", SegmentSummary), ("DeadLetterAction", Action)],
)
def test_the_code_reads_exactly_the_declared_keys(name: str, struct: type[msgspec.Struct]) -> None:
    """In the same order."""
    assert list(schema(name)["properties"]) == list(struct.__struct_fields__)


def test_every_action_on_dead_letters_fits() -> None:
    """Each result; the code knows no other one."""
    for result in ActionResult:
        taken = Action(
            at_ms=1,
            by="ann@host",
            consumer="sync",
            result=result,
            reason="",
            topic_id="t",
            letters=[Letter(0, 7, ORIGIN, 3), Letter(0, 8, "", 0)],
        )
        assert faults("DeadLetterAction", json.loads(encoded(taken))) == []
    declared = schema("DeadLetterAction")["properties"]["result"]["enum"]
    assert declared == [result.value for result in ActionResult]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## The record", "RecordHeaders"),
        ("## Dead letters", "DeadLetterHeaders"),
        ("| key of the summary", "ArchiveSummary"),
        ("| key of a line", "ArchiveLine"),
    ],
)
def test_the_contract_in_words_names_the_same_headers_and_keys(heading: str, name: str) -> None:
    """docs/contract.md explains them; its first table after the heading has a row for each."""
    text = (ROOT / "docs" / "contract.md").read_text().partition(heading)[2]
    table = re.search(r"^\| --- \|.*?\n(?!\|)", text, re.DOTALL | re.MULTILINE)
    assert table
    rows = [line.split("|") for line in table[0].splitlines()[1:]]
    named = [each for row in rows for each in re.findall(r"`([\w.-]+)`", row[1])]
    rest = {"key_base64"} if name == "ArchiveLine" else set()  # a word of the row `key`
    assert {*named} | rest == set(schema(name)["properties"])
    if name == "RecordHeaders":
        always = [row[1].strip(" `") for row in rows if row[3].strip() == "yes"]
        assert sorted(always) == sorted(schema(name)["required"])
