"""Compare two JSON Schemas: which values one accepts and the other does not, by kind of change."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import orjson

JsonSchema = Mapping[str, Any]


class Kind(StrEnum):
    """The kind of a breaking change of a schema."""

    FIELD_REMOVED = "field removed"
    TYPE_REMOVED = "type narrowed: records have values of a type that is not allowed any more"
    TYPE_ADDED = "type widened: readers do not expect values of the new type"
    VALUE_REMOVED = "value removed that records have"
    VALUE_ADDED = "value added that readers do not know"
    BOUND_NARROWER = "bound narrowed: records have values beyond it"
    BOUND_WIDER = "bound widened: readers do not expect values beyond the old one"
    ALWAYS = "field required that is not in every record of the release"
    NOT_ALWAYS = "field no longer in every record"
    REFERENCE_CHANGED = "reference to another schema"
    CONDITION_CHANGED = "another condition changed"


ANNOTATIONS = {"description", "title", "examples", "$comment", "default"} | {
    "deprecated",
    "x-deprecated",
}
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
# Whether one pattern or format allows more than another one is not known.
_FORMS = ("pattern", "format", "contentEncoding")
_TYPES = {"null", "boolean", "object", "array", "number", "integer", "string"}
_LISTS = ("prefixItems", "allOf", "oneOf", "anyOf")
_COMPARED = {
    *("type", "enum", "const", "properties", "required", "items", "additionalProperties", "$ref"),
    *(*_LOWER, *_UPPER, *_FORMS, *_LISTS),
}


def changes(old: JsonSchema, new: JsonSchema, place: str) -> Iterator[tuple[Kind, str]]:
    """Yield each change with its place. References are compared as texts."""
    if is_same(old, new):
        return
    if old.get("$ref") != new.get("$ref"):
        yield Kind.REFERENCE_CHANGED, place
    yield from _types(old, new, place)
    yield from _values(old, new, place)
    yield from _bounds(old, new, place)
    yield from _fields(old, new, place)
    yield from _parts(old, new, place)
    for keyword in {*old, *new} - _COMPARED - ANNOTATIONS:
        if not is_same(old.get(keyword), new.get(keyword)):
            yield Kind.CONDITION_CHANGED, f"{place}.{keyword}"


def is_same(old: object, new: object) -> bool:
    """Return whether two values are the same in JSON; Python's 1 and True are equal."""
    return _text(old) == _text(new)


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _types(old: JsonSchema, new: JsonSchema, place: str) -> Iterator[tuple[Kind, str]]:
    before, after = _types_of(old), _types_of(new)
    if before - after:
        yield Kind.TYPE_REMOVED, place
    if after - before:
        yield Kind.TYPE_ADDED, place


def _types_of(schema: JsonSchema) -> set[str]:
    declared = schema.get("type", _TYPES)
    types = {declared} if isinstance(declared, str) else set(declared)
    return types | {"integer"} if "number" in types else types


def _values(old: JsonSchema, new: JsonSchema, place: str) -> Iterator[tuple[Kind, str]]:
    before, after = _values_of(old), _values_of(new)
    if after is not None and (before is None or before - after):
        yield Kind.VALUE_REMOVED, place
    if before is not None and (after is None or after - before):
        yield Kind.VALUE_ADDED, place


def _values_of(schema: JsonSchema) -> set[str] | None:
    """Return the allowed values as texts of JSON, None if there is no list of them."""
    if "const" in schema:
        return {_text(schema["const"])}
    return set(map(_text, schema["enum"])) if "enum" in schema else None


def _bounds(old: JsonSchema, new: JsonSchema, place: str) -> Iterator[tuple[Kind, str]]:
    for keywords, sign in ((_LOWER, -1), (_UPPER, 1)):
        for keyword in keywords:
            before, after = (each.get(keyword, sign * float("inf")) for each in (old, new))
            if before != after:
                is_wider = (after - before) * sign > 0
                yield Kind.BOUND_WIDER if is_wider else Kind.BOUND_NARROWER, f"{place}.{keyword}"
    for keyword in _FORMS:
        if old.get(keyword) != new.get(keyword):
            if keyword in new:
                yield Kind.BOUND_NARROWER, f"{place}.{keyword}"
            if keyword in old:
                yield Kind.BOUND_WIDER, f"{place}.{keyword}"


def _fields(old: JsonSchema, new: JsonSchema, place: str) -> Iterator[tuple[Kind, str]]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        inner = f"{place}.properties.{name}"
        if name in after:
            yield from changes(before[name], after[name], inner)
        else:
            yield Kind.FIELD_REMOVED, inner
    was, now = set(old.get("required", ())), set(new.get("required", ()))
    yield from ((Kind.ALWAYS, f"{place}.required.{name}") for name in sorted(now - was))
    yield from (
        (Kind.NOT_ALWAYS, f"{place}.required.{name}") for name in sorted((was - now) & set(after))
    )


def _parts(old: JsonSchema, new: JsonSchema, place: str) -> Iterator[tuple[Kind, str]]:
    for keyword in ("items", "additionalProperties"):
        yield from changes(_open(old, keyword), _open(new, keyword), f"{place}.{keyword}")
    for keyword in _LISTS:
        before, after = old.get(keyword, []), new.get(keyword, [])
        if len(before) != len(after):
            yield Kind.CONDITION_CHANGED, f"{place}.{keyword}"
            continue
        for index, (was, now) in enumerate(zip(before, after, strict=True)):
            yield from changes(was, now, f"{place}.{keyword}.{index}")


def _open(schema: JsonSchema, keyword: str) -> JsonSchema:
    """Return a schema that may be absent, or a boolean, as an object."""
    inner = schema.get(keyword, True)
    if isinstance(inner, bool):
        return {} if inner else {"enum": []}
    found: JsonSchema = inner
    return found
