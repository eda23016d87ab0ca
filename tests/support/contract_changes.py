"""
Find the changes of the contract that break readers, or that records of a release do not fit.

Records stay in the topic for days and in the archive for years, and readers are older or newer than
the process that writes. So both must hold: a reader of the old contract can read new records, and
one of the new contract can read old records. Allowed are new channels, messages and schemas, and
new fields that are not in every record.

The schemas of TIM's callbacks describe records that Hookline does not shape. If TIM turns out to
send another type or to omit a field, the schema may become wider: no record changes with it.

A topic, or a field that is not in every record, may be removed if that was announced: see
`broken_promises`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
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


# For how long, and in how many releases, a removal is announced (docs/contract.md).
NOTICE = timedelta(days=183)
NOTICE_RELEASES = 2


def broken_promises(releases: Sequence[Document], new: Document, today: date) -> list[Change]:
    """
    Return the breaking changes since the last of `releases` that were not announced in time.

    A removal is announced by a mark, `x-deprecated`, in each of the last NOTICE_RELEASES; its date
    must be NOTICE ago. In these releases, the topic that replaces a topic must be there, too.
    """
    announced = releases[-NOTICE_RELEASES:]
    return [
        change
        for change in breaking_changes(releases[-1], new)
        if len(announced) < NOTICE_RELEASES
        or not all(_announces(release, change, today) for release in announced)
    ]


def _announces(release: Document, change: Change, today: date) -> bool:
    removed = _at(release, change.place)
    mark = removed.get("x-deprecated") if removed else None
    if mark is None or date.fromisoformat(mark["since"]) + NOTICE > today:
        return False
    if change.kind is DocumentKind.CHANNEL_REMOVED:
        return mark["use"] in {each["address"] for each in release["channels"].values()}
    owner, _, name = change.place.rpartition(".properties.")
    required = (_at(release, owner) or {}).get("required", ())
    return change.kind is Kind.FIELD_REMOVED and name not in required


def _at(node: Any, place: str) -> Document | None:
    """Return the part of a document at a place; the name of a part may contain dots."""
    if not isinstance(node, Mapping):
        return None
    if not place:
        return node["schema"] if "schemaFormat" in node else node
    for name, inner in node.items():
        if f"{place}.".startswith(f"{name}.") and (found := _at(inner, place[len(name) + 1 :])):
            return found
    # A place does not name that the schema of a component has a format.
    return _at(node["schema"], place) if "schema" in node else None


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
    if now["topicConfiguration"]["retention.ms"] < was["topicConfiguration"]["retention.ms"]:
        yield Change(DocumentKind.RETENTION_SHORTENED, place)
    for message in old["messages"]:
        if message not in new["messages"]:
            yield Change(DocumentKind.MESSAGE_REMOVED, f"{place}.messages.{message}")


def _message(old: Document, new: Document, place: str) -> Iterator[Change]:
    if new["contentType"] != old["contentType"]:
        yield Change(DocumentKind.MESSAGE_CHANGED, place)
    for part in ("headers", "payload"):
        if part in old and part not in new:
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
