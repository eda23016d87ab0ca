"""Make JSON Schemas (2020-12) of objects, out of the tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.contract.tables import TYPES, Described, JsonSchema, described, fields_by_name

RECORD_HEADERS = described("record-headers")
DEAD_LETTER_HEADERS = described("dead-letter-headers")
ARCHIVE_LINE = described("archive-line")
ARCHIVE_SUMMARY = described("archive-summary")
DEAD_LETTER_ACTION = described("dead-letter-action")
CALLBACK_FIELDS = described("callback-fields")
ELEMENT_FIELDS = described("element-fields")
COMMAND_FIELDS = fields_by_name("commands")
ELEMENTS = fields_by_name("elements")

EITHER_KEY_AND_EITHER_BODY = {
    "allOf": [
        {"oneOf": [{"required": [name]}, {"required": [f"{name}_base64"]}]}
        for name in ("key", "body")
    ]
}


def object_of(rows: Mapping[str, Described]) -> dict[str, Any]:
    """Return the schema of an object that has these fields, and may have others."""
    return {
        "type": "object",
        "properties": {
            name: {"description": row.meaning, **row.schema} for name, row in rows.items()
        },
        "required": [name for name, row in rows.items() if row.is_always],
    }


@dataclass(slots=True)
class _Field:
    schema: JsonSchema = field(default_factory=dict)
    is_list: bool = False
    is_required: bool = False
    inner: "dict[str, _Field]" = field(default_factory=dict)


def object_with(
    fields: Iterable[str], rows: Mapping[str, Described], element: str = ""
) -> dict[str, Any]:
    """Return the schema of an object with nested fields; `element` refers to that of MsgBody."""
    outermost: dict[str, _Field] = {}
    for each in fields:
        path, _, kind = each.removesuffix("!").partition(":")
        inner = outermost
        found = _Field()
        for part in path.split("."):
            name = part.removesuffix("[]")
            found = inner.setdefault(name, _Field(rows[name].schema))
            found.is_list = found.is_list or part.endswith("[]")
            inner = found.inner
        found.schema = TYPES[kind] if kind else found.schema
        found.is_required = found.is_required or each.endswith("!")
    if "MsgBody" in outermost:
        outermost["MsgBody"].schema = {"type": "array", "items": {"$ref": element}}
    return _object(outermost, rows)


def _object(fields: Mapping[str, _Field], rows: Mapping[str, Described]) -> dict[str, Any]:
    properties = {}
    for name, each in fields.items():
        schema = each.schema
        if each.inner:
            inner = _object(each.inner, rows)
            schema = {"type": "array", "items": inner} if each.is_list else inner
        properties[name] = {"description": rows[name].meaning, **schema}
    required = [name for name, each in fields.items() if each.is_required]
    return {"type": "object", "properties": properties} | (
        {"required": required} if required else {}
    )


def callback_of(command: str, element: str) -> dict[str, Any]:
    """Return the schema of the callbacks of a command, as TIM documents them."""
    schema = object_with(
        ["CallbackCommand", *COMMAND_FIELDS[command], "EventTime"], CALLBACK_FIELDS, element
    )
    if not command.startswith("Push."):  # these have it in each of their events
        schema["properties"]["CallbackCommand"]["const"] = command
    return schema


def any_element() -> dict[str, Any]:
    """Return the schema of an element of a message, of any type."""
    return {
        "type": "object",
        "properties": {
            "MsgType": {
                "description": "Type of the element; an open set.",
                "type": "string",
                "examples": list(ELEMENTS),
            },
            "MsgContent": {"description": "By MsgType.", "type": "object"},
        },
        "required": ["MsgType"],
    }


def element_of(kind: str) -> dict[str, Any]:
    """Return the schema of the elements of a type, as TIM documents them."""
    return {
        "type": "object",
        "properties": {
            "MsgType": {"const": kind},
            "MsgContent": object_with(ELEMENTS[kind], ELEMENT_FIELDS),
        },
        "required": ["MsgType"],
    }
