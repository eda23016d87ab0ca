"""
The columns of the Parquet copy: the headers, and the fields of the structs in schemas/payload.py.

A value has the type of its column, or is null. Only decimal text and integers are converted into
each other, as in all sinks. If a body has a key twice, the last value counts, as for all readers.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

from schemas.body import is_shallow, to_text
from schemas.body_fields import integer
from schemas.payload import PAYLOADS, UInt32

# The headers that are copied, with their types.
HEADERS = {
    "ce_id": "VARCHAR",
    "ce_source": "VARCHAR",
    "ce_type": "VARCHAR",
    "ce_time": "TIMESTAMPTZ",
    "ce_sdkappid": "VARCHAR",
    "ce_clientip": "VARCHAR",
    "ce_optplatform": "VARCHAR",
    "ce_origin": "VARCHAR",
    "ce_sequence": "BIGINT",
}
_BOUNDS = {"BIGINT": (-(1 << 63), (1 << 63) - 1), "UINTEGER": (0, (1 << 32) - 1)}
_SURROGATE = re.compile("[\ud800-\udfff]")

# VARCHAR, BIGINT, UINTEGER or JSON (an object); a list of one of these; or a structure.
Type: TypeAlias = "str | list[Type] | dict[str, Type]"


def body_fields() -> dict[str, Type]:
    """Return the fields of all known commands with their types."""
    fields: dict[str, Type] = {}
    for payload in PAYLOADS.values():
        fields |= _fields(inspect.type_info(payload))
    del fields["CallbackCommand"]  # the header ce_type has it
    return fields


def _fields(struct: Any) -> dict[str, Type]:
    return {each.encode_name: _type(each.type) for each in struct.fields}


def _type(info: inspect.Type) -> Type:
    match info:
        case inspect.UnionType(types=types):
            # Absent is null; a time that comes as number or text is a number.
            kinds = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _type(next((k for k in kinds if isinstance(k, inspect.IntType)), kinds[0]))
        case inspect.IntType():
            return "UINTEGER" if info == inspect.type_info(UInt32) else "BIGINT"
        case inspect.StrType():
            return "VARCHAR"
        case inspect.ListType(item_type=item):
            return [_type(item)]
        case inspect.StructType():
            return _fields(info)
        case inspect.DictType():
            return "JSON"
    raise AssertionError(f"no column is known for {info}")


FIELDS = body_fields()


def body_columns(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a body."""
    return {
        field: value
        for field, sent in document.items()
        if field in FIELDS and (value := _typed(sent, FIELDS[field])) is not None
    }


def _typed(value: Any, kind: Type) -> Any:
    """Return `value` in the type of its column, None if that is not possible."""
    result: Any = None
    match kind, value:
        case _, bool():
            pass
        case "VARCHAR", str() | int():
            result = to_text(value)
        case "BIGINT" | "UINTEGER", str() | int():
            result = _within(kind, integer(value) if isinstance(value, str) else value)
        # A deeper object is null; the column `body` has it.
        case "JSON", dict() if is_shallow(value):
            result = _json(value)
        case [item], list():
            result = [_typed(each, item) for each in value]
        case dict(), dict():
            result = {name: _typed(value.get(name), each) for name, each in kind.items()}
    return result


def _within(kind: str, number: int | None) -> int | None:
    least, most = _BOUNDS[kind]
    return number if number is not None and least <= number <= most else None


def _json(document: dict[str, Any]) -> msgspec.Raw:
    r"""Return an object as JSON that every reader accepts: lone surrogates as the text `\ud800`."""
    try:
        return msgspec.Raw(msgspec.json.encode(document))
    except UnicodeEncodeError:
        spelled = _SURROGATE.sub(
            lambda surrogate: f"\\\\u{ord(surrogate[0]):x}",
            json.dumps(document, ensure_ascii=False),
        )
        # A number that no double can hold is infinite here; it becomes null, as above.
        return msgspec.Raw(msgspec.json.encode(json.loads(spelled, parse_constant=lambda _: None)))


class ParquetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as DuckDB reads it, a JSON line. `body` is null if the value is not UTF-8."""

    partition: int
    offset: int
    timestamp: int
    key: str | None
    headers: dict[str, str | None]
    body: str | None
    fields: dict[str, Any]


def query(lines: str, *, line_bytes_max: int) -> str:
    """Return the SQL query for the columns of a file of `ParquetRow`s, in their order."""
    headers = ", ".join(
        f"headers.{header}"
        if kind == "VARCHAR"
        else f"try_cast(headers.{header} as {kind}) {header}"
        for header, kind in HEADERS.items()
    )
    of_body = ", ".join(f'fields."{field}"' for field in FIELDS)
    row = {
        "partition": "INTEGER",
        "offset": "BIGINT",
        "timestamp": "BIGINT",
        "key": "VARCHAR",
        "headers": _sql_type(dict.fromkeys(HEADERS, "VARCHAR")),
        "body": "VARCHAR",
        "fields": _sql_type(FIELDS),
    }
    columns = ", ".join(f"{name!r}: {sql_text(kind)}" for name, kind in row.items())
    return f"""
        select partition, "offset", make_timestamptz("timestamp" * 1000) as "timestamp", key,
               {headers}, {of_body}, body
        from read_json({sql_text(lines)}, format = 'newline_delimited', columns = {{{columns}}},
                       maximum_object_size = {line_bytes_max})
    """  # noqa: S608 - of our own names alone


def _sql_type(kind: Type) -> str:
    match kind:
        case dict():
            inner = ", ".join(f'"{name}" {_sql_type(each)}' for name, each in kind.items())
            return f"STRUCT({inner})"
        case list():
            return f"{_sql_type(kind[0])}[]"
        case _:
            return kind


def sql_text(value: str) -> str:
    """Return `value` as a literal in SQL."""
    return "'" + value.replace("'", "''") + "'"
