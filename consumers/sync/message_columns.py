"""
The columns of a message that are read from its content, such as its words. Does no I/O.

A body may have any shape: a value of another type than documented counts as absent, and nothing
here raises an exception.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from consumers.sync.queryable import column_text
from schemas.body import to_text
from schemas.body_fields import integer

CONTENT_COLUMNS = (
    *("topic_id", "message_id", "online_only", "delivered"),
    *("element_types", "text"),
)

# Bounds of the columns, so that an index on any of them is possible, and a full text search on
# the last one: PostgreSQL's limits are 2704 bytes of an entry, and 1 MiB of a tsvector.
NAME_CHARACTERS_MAX = 128
ELEMENT_TYPES_MAX = 20
TEXT_CHARACTERS_MAX = 65_536

# The fields that a person reads in an element, by its type; in all other types it is Text.
_TEXT_FIELDS = {
    "TIMLocationElem": ("Desc",),
    "TIMFaceElem": (),
    "TIMCustomElem": ("Desc",),
    "TIMFileElem": ("FileName",),
    "TIMRelayElem": ("Title", "AbstractList"),
}
_USUAL_TEXT_FIELDS = ("Text",)
# Neither NUL nor lone surrogates fit into a column; the column `body` has the same replacement.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def content_columns(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of CONTENT_COLUMNS of a message's body; element_types in text form."""
    elements = document.get("MsgBody")
    elements = elements if isinstance(elements, list) else []
    return (
        _name(document.get("TopicId")),
        _name(document.get("MsgId")),
        integer(document.get("OnlineOnlyFlag")) == 1,
        not integer(document.get("SendMsgResult")),
        _types(elements),
        _words(elements),
    )


def _name(value: Any) -> str | None:
    if value is None:
        return None
    name = to_text(value)
    return column_text(name) if len(name) <= NAME_CHARACTERS_MAX else None


def _types(elements: list[Any]) -> str:
    types: dict[str, None] = {}
    for element in elements:
        kind = element.get("MsgType") if isinstance(element, dict) else None
        if isinstance(kind, str) and (name := _name(kind)):
            types[name] = None
            if len(types) == ELEMENT_TYPES_MAX:
                break
    return _array(tuple(types))


# Most messages have one of few types.
@lru_cache(maxsize=256)
def _array(types: tuple[str, ...]) -> str:
    """Return an array of PostgreSQL in its text form: an array of arrays would be one matrix."""
    escaped = (each.replace("\\", "\\\\").replace('"', '\\"') for each in types)
    return "{" + ",".join(f'"{each}"' for each in escaped) + "}"


def _words(elements: list[Any]) -> str | None:
    """Return the words of all elements, the first TEXT_CHARACTERS_MAX characters of them."""
    lines: list[str] = []
    length = 0
    for line in _lines(elements):
        lines.append(line)
        length += len(line) + 1
        if length > TEXT_CHARACTERS_MAX:
            break
    return _storable("\n".join(lines)[:TEXT_CHARACTERS_MAX]) or None


def _lines(elements: list[Any]) -> Iterator[str]:
    for element in elements:
        content = element.get("MsgContent") if isinstance(element, dict) else None
        if not isinstance(content, dict):
            continue
        kind = element.get("MsgType")
        fields = (
            _TEXT_FIELDS.get(kind, _USUAL_TEXT_FIELDS)
            if isinstance(kind, str)
            else _USUAL_TEXT_FIELDS
        )
        for field in fields:
            value = content.get(field)
            for each in value if isinstance(value, list) else (value,):
                if isinstance(each, str) and each:
                    yield each


def _storable(value: str) -> str:
    """Return `value` with U+FFFD in place of the characters that PostgreSQL cannot hold."""
    return value if value.isascii() and "\0" not in value else _UNSTORABLE.sub("\ufffd", value)
