"""Read the tables of fields, headers and keys: each row with its type and its meaning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

JsonSchema = Mapping[str, Any]

_INTEGER = {"type": "integer"}
_STRING = {"type": "string"}
# Accounts and ids of rooms also come as numbers.
_ACCOUNT = {"type": ["string", "integer"]}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_BOUNDS = {"type": "array", "items": _INTEGER, "minItems": 2, "maxItems": 2}
_LETTER = {"type": "array", "prefixItems": [_INTEGER, _INTEGER, _STRING, _INTEGER], "minItems": 4}
_RFC_3339 = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"

# The types that the tables name.
TYPES: Mapping[str, JsonSchema] = {
    # Of TIM's fields.
    "text": _STRING,
    "account": _ACCOUNT,
    "integer": _INTEGER,
    "uint32": {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
    "time": {"type": ["integer", "string"]},
    "word": {"type": ["string", "integer"]},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "object": {"type": "object"},
    "any": {},
    "accounts": {"type": "array", "items": _ACCOUNT},
    "texts": {"type": "array", "items": _STRING},
    "integers": {"type": "array", "items": _INTEGER},
    "objects": {"type": "array", "items": {"type": "object"}},
    # Of headers, whose values are texts.
    "1.0": {"const": "1.0"},
    "JSON": {"const": "application/json"},
    "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "source": {"type": "string", "pattern": "^/tim/[1-9][0-9]*$"},
    "name": {"type": "string", "minLength": 1},
    "RFC 3339": {"type": "string", "format": "date-time", "pattern": _RFC_3339},
    "origin": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "positive": {"type": "string", "pattern": "^[1-9][0-9]*$"},
    "decimal": {"type": "string", "pattern": "^[0-9]+$"},
    "stage": {"enum": ["VALUE_CONVERTER", "KAFKA_PRODUCE", "TASK_PUT"]},
    # Of the archive and the actions.
    "count": {"type": "integer", "minimum": 0},
    "text or null": _TEXT_OR_NULL,
    "base64": {"type": "string", "contentEncoding": "base64"},
    "map of texts": {"type": "object", "additionalProperties": _TEXT_OR_NULL},
    "1": {"const": 1},
    "map of bounds": {"type": "object", "additionalProperties": _BOUNDS},
    "SHA-256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "result": {"enum": ["resent", "rejected again", "dropped"]},
    "letters": {"type": "array", "items": _LETTER},
}


class Described(NamedTuple):
    """A field, a header or a key. `is_always` is whether each record, line or object has it."""

    schema: JsonSchema
    meaning: str
    chinese: str
    is_always: bool


def described(table: str) -> dict[str, Described]:
    """Return the rows of a table by their names, in their order."""
    rows = {}
    for line in _lines(table):
        name, kind, always, meaning, chinese = (cell.strip() for cell in line.split("|"))
        schema = {**TYPES[kind], **_deprecation(always)}
        rows[name] = Described(schema, meaning, chinese, always == "always")
    return rows


def _deprecation(presence: str) -> JsonSchema:
    """Return the mark of a field that is to go, from `deprecated SINCE USE`; else nothing."""
    if not presence.startswith("deprecated "):
        return {}
    _, since, use = presence.split(maxsplit=2)
    return {"deprecated": True, "x-deprecated": {"since": since, "use": use}}


def fields_by_name(table: str) -> dict[str, list[str]]:
    """Return the fields of each name of a table, with those of `=name` in place of `$name`."""
    listed: dict[str, list[str]] = {}
    fields: list[str] = []
    for line in _lines(table):
        words = line.split()
        if not line.startswith(" "):
            fields = listed.setdefault(words.pop(0), [])
        for word in words:
            fields += listed[f"={word[1:]}"] if word.startswith("$") else [word]
    return {name: fields for name, fields in listed.items() if not name.startswith("=")}


def _lines(table: str) -> list[str]:
    text = (Path(__file__).parent / "tables" / f"{table}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
