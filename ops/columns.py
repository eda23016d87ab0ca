"""The columns of the Parquet copy, by the headers and the structs of schemas/payload.py."""

import json
from typing import Any

import msgspec
from msgspec import inspect

from schemas.payload import PAYLOADS, UInt32

# Header and type. Those that other producers add are not copied.
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
# What ops/parquet.py hands to DuckDB, a line a record.
LINE = {
    "partition": "INTEGER",
    "offset": "BIGINT",
    "timestamp": "BIGINT",
    "key": "VARCHAR",
    "headers": f"STRUCT({', '.join(f'{header} VARCHAR' for header in HEADERS)})",
    "body": "VARCHAR",
    "document": "VARCHAR",
}


def of_bodies() -> dict[str, Any]:
    """Return the fields of all known commands with their types, as json_transform takes them."""
    fields: dict[str, Any] = {}
    for payload in PAYLOADS.values():
        fields |= _fields(inspect.type_info(payload))
    del fields["CallbackCommand"]  # the header ce_type has it
    return fields


def _fields(struct: Any) -> dict[str, Any]:
    return {each.encode_name: _type(each.type) for each in struct.fields}


def _type(info: inspect.Type) -> Any:
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
        case inspect.DictType() | inspect.AnyType():
            return "JSON"
    raise AssertionError(f"no column is known for {info}")


def query(lines: str, *, line_bytes_max: int) -> str:
    """Return the statement that makes rows of a file of LINEs, in their order."""
    headers = ", ".join(
        f"headers.{header}"
        if kind == "VARCHAR"
        else f"try_cast(headers.{header} as {kind}) {header}"
        for header, kind in HEADERS.items()
    )
    columns = ", ".join(f"{name!r}: {kind!r}" for name, kind in LINE.items())
    fields = of_bodies()
    of_body = ", ".join(f'fields."{field}"' for field in fields)
    # An unusual field is null, and so are all where the body is no JSON to DuckDB.
    return f"""
        select partition, "offset", make_timestamptz("timestamp" * 1000) as "timestamp", key,
               {headers}, {of_body}, body
        from (select *, json_transform(
                  case when json_valid(coalesce(document, body)) then coalesce(document, body) end,
                  {text(json.dumps(fields))}) as fields
              from read_json({text(lines)}, format = 'newline_delimited', columns = {{{columns}}},
                             maximum_object_size = {line_bytes_max}))
    """  # noqa: S608 - of our own names alone


def text(value: str) -> str:
    """Return `value` as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """
    A LINE. `body` is null where the value is not UTF-8; no ingress writes such a one.

    `document` is there where the body itself is no JSON to DuckDB, but to more patient readers.
    """

    partition: int
    offset: int
    timestamp: int
    key: str | None
    headers: dict[str, str | None]
    body: str | None
    document: str | None
