"""
Find the changes of the contract that break readers, or that records of a release do not fit.

Records stay in the topic for days and in the archive for years, and readers are older or newer than
the process that writes. So both must hold: a reader of the old contract can read new records, and
one of the new contract can read old records. Allowed are new channels, messages and schemas, and
new fields that are not in every record.

The schemas of TIM's callbacks describe records that Hookline does not shape. If TIM turns out to
send another type or to omit a field, the schema may become wider: no record changes with it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from support.schema_changes import Kind, changes

Document = Mapping[str, Any]


class DocumentKind(StrEnum):
    """The kind of a breaking change of channels and messages."""

    CHANNEL_REMOVED = "channel removed"
    TOPIC_RENAMED = "topic renamed"
    PARTITIONS_REMOVED = "partitions removed"
    RETENTION_SHORTENED = "retention shortened"
    MESSAGE_REMOVED = "message removed"
    MESSAGE_CHANGED = "message has another content type, or its headers or payload no schema"
    SCHEMA_REMOVED = "schema removed"


class Change(NamedTuple):
    """A breaking change, and the place in the document."""

    kind: DocumentKind | Kind
    place: str


# The changes of TIM's schemas that are allowed.
WIDER = {Kind.TYPE_ADDED, Kind.VALUE_ADDED, Kind.BOUND_WIDER, Kind.NOT_ALWAYS}


def breaking_changes(old: Document, new: Document) -> list[Change]:
    """Return the breaking changes between two AsyncAPI documents of the contract."""
    return [*_channels(old, new), *_messages(old, new), *_schemas(old, new)]


def _channels(old: Document, new: Document) -> Iterator[Change]:
    for name, before in old["channels"].items():
        place = f"channels.{name}"
        after = new["channels"].get(name)
        if after is None:
            yield Change(DocumentKind.CHANNEL_REMOVED, place)
            continue
        if after["address"] != before["address"]:
            yield Change(DocumentKind.TOPIC_RENAMED, place)
        was, now = before["bindings"]["kafka"], after["bindings"]["kafka"]
        if now["partitions"] < was["partitions"]:
            yield Change(DocumentKind.PARTITIONS_REMOVED, place)
        if now["topicConfiguration"]["retention.ms"] < was["topicConfiguration"]["retention.ms"]:
            yield Change(DocumentKind.RETENTION_SHORTENED, place)
        for message in before["messages"]:
            if message not in after["messages"]:
                yield Change(DocumentKind.MESSAGE_REMOVED, f"{place}.messages.{message}")


def _messages(old: Document, new: Document) -> Iterator[Change]:
    for name, before in old["components"]["messages"].items():
        after = new["components"]["messages"].get(name)
        place = f"components.messages.{name}"
        if after is None:
            yield Change(DocumentKind.MESSAGE_REMOVED, place)
            continue
        if after["contentType"] != before["contentType"]:
            yield Change(DocumentKind.MESSAGE_CHANGED, place)
        for part in ("headers", "payload"):
            if part in before and part not in after:
                yield Change(DocumentKind.MESSAGE_CHANGED, f"{place}.{part}")
            elif part in before:
                found = changes(_schema(before[part]), _schema(after[part]), f"{place}.{part}")
                yield from (Change(*each) for each in found)


def _schemas(old: Document, new: Document) -> Iterator[Change]:
    for name, before in old["components"]["schemas"].items():
        after = new["components"]["schemas"].get(name)
        place = f"components.schemas.{name}"
        if after is None:
            yield Change(DocumentKind.SCHEMA_REMOVED, place)
            continue
        allowed = WIDER if after.get("x-of") == before.get("x-of") == "TIM" else set()
        for kind, inner in changes(before["schema"], after["schema"], place):
            if kind not in allowed:
                yield Change(kind, inner)


def _schema(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a message's part, which is a reference or has a format."""
    schema: Mapping[str, Any] = part if "$ref" in part else part["schema"]
    return schema
