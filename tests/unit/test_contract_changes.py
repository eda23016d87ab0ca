"""The contract breaks nothing that the last release promised; each kind of break is found."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.contract_changes import Change, DocumentKind, breaking_changes
from support.contract_edits import Document, Edit, edited, header, schema
from support.contract_notice import broken_promises, released_on
from support.schema_changes import Kind

from schemas.contract.asyncapi import asyncapi

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / "docs" / "contract" / "released"


def number(version: str) -> tuple[int, ...]:
    """Return a version so that a later one is greater."""
    return tuple(map(int, version.split(".")))


def releases() -> list[Path]:
    """Return the documents of all releases, the last one at the end."""
    return sorted(RELEASED.glob("*.json"), key=lambda path: number(path.stem))


def test_nothing_that_the_last_release_promised_is_broken() -> None:
    """A change that breaks readers gets a topic of a new name, beside the old one, and notice."""
    documents, current = [json.loads(path.read_text()) for path in releases()], asyncapi()
    assert broken_promises(documents, current, datetime.now(UTC).date()) == []
    released = documents[-1]
    if breaking_changes(current, released) or breaking_changes(released, current):
        assert number(current["info"]["version"]) > number(released["info"]["version"])


def test_every_release_has_its_document() -> None:
    """It is a copy of docs/contract/asyncapi.json with the day, as CONTRIBUTING.md says."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## (\d+\.\d+\.\d+)$", changelog, re.MULTILINE)
    assert {path.stem for path in RELEASED.iterdir()} == set(releases)


def test_the_days_of_the_releases_are_in_their_order_and_not_in_the_future() -> None:
    """The notice of a removal is counted from the day of a release."""
    days = [released_on(json.loads(path.read_text())) for path in releases()]
    assert days == sorted(days)
    assert days[-1] <= datetime.now(UTC).date()


def topic_of(document: Document) -> Any:
    """Return the binding of the topic of callbacks."""
    return document["channels"]["callbacks"]["bindings"]["kafka"]


def key(document: Document, name: str) -> Any:
    """Return the schema of a key of the archive's lines."""
    return schema(document, "ArchiveLine", "properties", name)


def field(document: Document, command: str, name: str) -> Any:
    """Return the schema of a field of a command's callbacks."""
    return schema(document, command, "properties", name)


MESSAGE = "C2C.CallbackAfterSendMsg"
STAGE = ("DeadLetterHeaders", "properties", "__connect.errors.stage", "enum")
BREAKS: list[tuple[DocumentKind | Kind, Edit]] = [
    (DocumentKind.CHANNEL_REMOVED, lambda d: d["channels"].pop("deadLetters")),
    (
        DocumentKind.TOPIC_RENAMED,
        lambda d: d["channels"]["callbacks"].update(address="tim.callbacks.v2"),
    ),
    (
        DocumentKind.PARTITIONS_REMOVED,
        lambda d: topic_of(d).update(partitions=5),
    ),
    (
        DocumentKind.RETENTION_SHORTENED,
        lambda d: topic_of(d)["topicConfiguration"].update({"retention.ms": 1}),
    ),
    (
        DocumentKind.CONFIGURATION_CHANGED,
        lambda d: topic_of(d)["topicConfiguration"].update({"cleanup.policy": ["compact"]}),
    ),
    (
        DocumentKind.CONFIGURATION_CHANGED,
        lambda d: topic_of(d)["topicConfiguration"].update({"delete.retention.ms": 1}),
    ),
    (
        DocumentKind.MESSAGE_CHANGED,
        lambda d: d["channels"]["callbacks"]["messages"].update(
            {MESSAGE: d["channels"]["callbacks"]["messages"]["AnyOtherCallback"]}
        ),
    ),
    (
        DocumentKind.MESSAGE_REMOVED,
        lambda d: d["channels"]["callbacks"]["messages"].pop("State.StateChange"),
    ),
    (DocumentKind.MESSAGE_REMOVED, lambda d: d["components"]["messages"].pop("DeadLetter")),
    (
        DocumentKind.MESSAGE_CHANGED,
        lambda d: d["components"]["messages"][MESSAGE].update(contentType="application/avro"),
    ),
    (
        DocumentKind.MESSAGE_CHANGED,
        lambda d: d["components"]["messages"][MESSAGE].pop("payload"),
    ),
    (
        DocumentKind.MESSAGE_CHANGED,
        lambda d: d["components"]["messages"]["DeadLetter"].update(
            payload={"$ref": "#/components/schemas/Callback"}
        ),
    ),
    (
        DocumentKind.MESSAGE_CHANGED,
        lambda d: d["components"]["messages"][MESSAGE].update({"x-identity": "request"}),
    ),
    (
        DocumentKind.MESSAGE_CHANGED,
        lambda d: d["components"]["messages"][MESSAGE].update({"x-order": "account"}),
    ),
    (
        Kind.REFERENCE_CHANGED,
        lambda d: d["components"]["messages"][MESSAGE]["payload"].update(
            {"$ref": "#/components/schemas/Callback"}
        ),
    ),
    (
        Kind.VALUE_REMOVED,
        lambda d: d["components"]["messages"][MESSAGE]["headers"]["schema"]["allOf"][1][
            "properties"
        ]["ce_type"].update(const="Other"),
    ),
    (DocumentKind.SCHEMA_REMOVED, lambda d: d["components"]["schemas"].pop("ArchiveSummary")),
    (Kind.FIELD_REMOVED, lambda d: schema(d, "RecordHeaders", "properties").pop("ce_clientip")),
    (Kind.FIELD_REMOVED, lambda d: schema(d, MESSAGE, "properties").pop("MsgKey")),
    (Kind.TYPE_REMOVED, lambda d: field(d, MESSAGE, "From_Account").update(type="string")),
    (Kind.TYPE_REMOVED, lambda d: key(d, "body").update(type="object")),
    (Kind.TYPE_ADDED, lambda d: key(d, "offset").update(type=["integer", "null"])),
    (Kind.TYPE_ADDED, lambda d: key(d, "topic").pop("type")),
    (Kind.TYPE_ADDED, lambda d: key(d, "headers").pop("additionalProperties")),
    (Kind.VALUE_REMOVED, lambda d: schema(d, *STAGE).remove("TASK_PUT")),
    (Kind.VALUE_REMOVED, lambda d: header(d, "ce_optplatform").update(enum=["iOS"])),
    (Kind.VALUE_ADDED, lambda d: schema(d, *STAGE).append("HEADER_CONVERTER")),
    (Kind.VALUE_ADDED, lambda d: header(d, "ce_specversion").pop("const")),
    (Kind.VALUE_REMOVED, lambda d: schema(d, "Callback").update(additionalProperties=False)),
    (Kind.BOUND_NARROWER, lambda d: field(d, MESSAGE, "MsgSeq").update(maximum=(1 << 31) - 1)),
    (Kind.BOUND_NARROWER, lambda d: header(d, "ce_type").update(maxLength=40)),
    (Kind.BOUND_NARROWER, lambda d: header(d, "ce_id").update(pattern="^[0-9]{32}$")),
    (Kind.BOUND_WIDER, lambda d: header(d, "ce_type").pop("minLength")),
    (Kind.BOUND_WIDER, lambda d: key(d, "offset").update(minimum=-1)),
    (Kind.BOUND_WIDER, lambda d: header(d, "ce_id").pop("pattern")),
    (Kind.ALWAYS, lambda d: schema(d, "RecordHeaders", "required").append("ce_clientip")),
    (Kind.ALWAYS, lambda d: schema(d, MESSAGE, "required").append("MsgKey")),
    (Kind.NOT_ALWAYS, lambda d: schema(d, "RecordHeaders", "required").remove("ce_time")),
    (Kind.CONDITION_CHANGED, lambda d: schema(d, "ArchiveLine", "allOf").pop()),
    (Kind.CONDITION_CHANGED, lambda d: schema(d, "ArchiveLine").update(minProperty={"not": {}})),
]


@pytest.mark.parametrize(
    ("kind", "edit"), BREAKS, ids=[f"{at}-{kind.name}" for at, (kind, _) in enumerate(BREAKS)]
)
def test_a_break_is_found_and_named(kind: DocumentKind | Kind, edit: Edit) -> None:
    """The place is a path into the document."""
    changes = breaking_changes(asyncapi(), edited(edit))
    assert kind in {change.kind for change in changes}
    assert all(change.place.startswith(("channels.", "components.")) for change in changes)


def test_each_kind_of_break_has_a_test() -> None:
    """The list above has them all, but a mark, which tests/unit/test_contract_notice.py has."""
    kinds = {kind for kind, _ in BREAKS}
    assert kinds == {*DocumentKind, *Kind} - {DocumentKind.MARK_BACKDATED}


def test_values_are_compared_as_json() -> None:
    """In Python, 1 and true are equal."""
    for keyword, values in (("const", (1, True)), ("enum", ([0], [False]))):
        before, after = (edited_key(keyword, value) for value in values)
        kinds = {change.kind for change in breaking_changes(before, after)}
        assert kinds == {Kind.VALUE_REMOVED, Kind.VALUE_ADDED}


def edited_key(keyword: str, value: object) -> Document:
    """Return a document in which a keyword of a key of the archive's lines has a value."""
    return edited(lambda d: key(d, "offset").update({keyword: value}))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: schema(d, "RecordHeaders", "properties").update(ce_new={"type": "string"}),
        lambda d: schema(d, MESSAGE, "properties").update(New={"type": "integer"}),
        lambda d: key(d, "body").update(description="another text"),
        lambda d: d["components"]["messages"][MESSAGE].update(title="another text"),
        lambda d: topic_of(d)["topicConfiguration"].update({"retention.ms": -1}),
        lambda d: d["channels"].update(new=d["channels"]["callbacks"]),
        lambda d: d["components"]["messages"].update(New=d["components"]["messages"][MESSAGE]),
        lambda d: d["components"]["schemas"].update(New=d["components"]["schemas"]["Callback"]),
        # TIM turned out to send this, or to omit it.
        lambda d: field(d, MESSAGE, "MsgTime").update(type=["integer", "string"]),
        lambda d: field(d, MESSAGE, "MsgSeq").pop("maximum"),
        lambda d: schema(d, MESSAGE, "required").remove("To_Account"),
    ],
)
def test_additions_are_allowed_and_so_are_wider_schemas_of_tim(edit: Edit) -> None:
    """Readers ignore fields, headers, commands and topics that they do not know."""
    assert breaking_changes(asyncapi(), edited(edit)) == []


def test_a_break_of_a_shared_part_names_each_place() -> None:
    """A header is in the schema once, for all commands."""
    changes = breaking_changes(asyncapi(), edited(lambda d: header(d, "ce_id").pop("pattern")))
    place = "components.schemas.RecordHeaders.properties.ce_id.pattern"
    assert changes == [Change(Kind.BOUND_WIDER, place)]
