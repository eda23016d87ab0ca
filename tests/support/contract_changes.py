"""
Find the changes of the contract that break readers, or that records of a release do not fit.

Records stay in the topic for days and in the archive for years, and readers are older or newer than
the process that writes. So both must hold: a reader of the old contract can read new records, and
one of the new contract can read old records. Allowed are new channels, messages and schemas, and
new fields that are not in every record.

The schemas of TIM's callbacks describe records that Hookline does not shape. If TIM turns out to
send another type or to omit a field, the schema may become wider: no record changes with it.

A topic, or a field that is not in every record, may be removed if that was announced: see
`support.contract_notice`.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from support.schema_changes import ANNOTATIONS, Kind, changes, is_same

Document = Mapping[str, Any]


class DocumentKind(StrEnum):
    """The kind of a breaking change of channels and messages."""

    CHANNEL_REMOVED = "channel removed"
    TOPIC_RENAMED = "topic renamed"
    PARTITIONS_REMOVED = "partitions removed"
    RETENTION_SHORTENED = "retention shortened"
    CONFIGURATION_CHANGED = "topic has another configuration, such as its cleanup"
    MESSAGE_REMOVED = "message removed"
    MESSAGE_CHANGED = "message has another content type, identity, order or parts with a schema"
    SCHEMA_REMOVED = "schema removed"
    MARK_BACKDATED = "deprecated since a day before the last release, which does not have the mark"


class Change(NamedTuple):
    """A breaking change, and the place in the document."""

    kind: DocumentKind | Kind
    place: str


# The changes of TIM's schemas that are allowed.
WIDER = {Kind.TYPE_ADDED, Kind.VALUE_ADDED, Kind.BOUND_WIDER, Kind.NOT_ALWAYS}
# The parts of a message that have a schema.
PARTS = ("headers", "payload")
# Kafka's `retention.ms` of a topic whose records are not deleted.
UNLIMITED_MS = -1


def breaking_changes(old: Document, new: Document) -> list[Change]:
    """Return the breaking changes between two AsyncAPI documents of the contract."""
    found: list[Change] = []
    for place, removed, compare in (
        ("channels", DocumentKind.CHANNEL_REMOVED, _channel),
        ("components.messages", DocumentKind.MESSAGE_REMOVED, _message),
        ("components.schemas", DocumentKind.SCHEMA_REMOVED, _schema),
    ):
        after = _part(new, place)
        for name, before in _part(old, place).items():
            inner = f"{place}.{name}"
            if name in after:
                found += compare(before, after[name], inner)
            else:
                found.append(Change(removed, inner))
    return found


def _part(document: Document, place: str) -> Document:
    for name in place.split("."):
        document = document[name]
    return document


def _channel(old: Document, new: Document, place: str) -> Iterator[Change]:
    if new["address"] != old["address"]:
        yield Change(DocumentKind.TOPIC_RENAMED, place)
    was, now = old["bindings"]["kafka"], new["bindings"]["kafka"]
    if now["partitions"] < was["partitions"]:
        yield Change(DocumentKind.PARTITIONS_REMOVED, place)
    yield from _configuration(was["topicConfiguration"], now["topicConfiguration"], place)
    for message, reference in old["messages"].items():
        inner = f"{place}.messages.{message}"
        if message not in new["messages"]:
            yield Change(DocumentKind.MESSAGE_REMOVED, inner)
        elif new["messages"][message] != reference:
            yield Change(DocumentKind.MESSAGE_CHANGED, inner)


def _configuration(old: Document, new: Document, place: str) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if name == "retention.ms" and name in old and name in new:
            if _retention_ms(new) < _retention_ms(old):
                yield Change(DocumentKind.RETENTION_SHORTENED, place)
        elif old.get(name) != new.get(name):
            yield Change(DocumentKind.CONFIGURATION_CHANGED, f"{place}.{name}")


def _retention_ms(configuration: Document) -> float:
    retention_ms: float = configuration["retention.ms"]
    return float("inf") if retention_ms == UNLIMITED_MS else retention_ms


def _message(old: Document, new: Document, place: str) -> Iterator[Change]:
    for name in sorted({*old, *new} - ANNOTATIONS - {*PARTS}):
        if not is_same(old.get(name), new.get(name)):
            yield Change(DocumentKind.MESSAGE_CHANGED, f"{place}.{name}")
    for part in PARTS:
        if (part in old) != (part in new):
            yield Change(DocumentKind.MESSAGE_CHANGED, f"{place}.{part}")
        elif part in old:
            found = changes(_schema_of(old[part]), _schema_of(new[part]), f"{place}.{part}")
            yield from (Change(*each) for each in found)


def _schema(old: Document, new: Document, place: str) -> Iterator[Change]:
    allowed = WIDER if new.get("x-of") == old.get("x-of") == "TIM" else set()
    for kind, inner in changes(old["schema"], new["schema"], place):
        if kind not in allowed:
            yield Change(kind, inner)


def _schema_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a message's part, which is a reference or has a format."""
    schema: Mapping[str, Any] = part if "$ref" in part else part["schema"]
    return schema
