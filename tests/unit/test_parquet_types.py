"""A column of the Parquet copy has only values of its type; others become null."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.archive.archives import WrittenArchive, copied, numbered, rows
from support.tiers import scaled

from ops.archive.columns import body_fields

UINT32_MAX = (1 << 32) - 1
INT64 = (-(1 << 63), (1 << 63) - 1)

# JSON of every type, and its value in a column of text and in one of integers; None is null.
VALUES: list[tuple[str, str | None, int | None]] = [
    ("null", None, None),
    ("true", None, None),
    ("false", None, None),
    ("0", "0", 0),
    ("-0", "0", 0),
    ("-1", "-1", -1),
    ("1764688415", "1764688415", 1764688415),
    ("4294967295", "4294967295", UINT32_MAX),
    ("4294967296", "4294967296", UINT32_MAX + 1),
    ("9223372036854775807", "9223372036854775807", INT64[1]),
    ("-9223372036854775808", "-9223372036854775808", INT64[0]),
    ("9223372036854775808", "9223372036854775808", None),
    ("18446744073709551616", None, None),
    ("1e400", None, None),
    ("1764688415.0", None, None),
    ("1764688415.5", None, None),
    ("1e3", None, None),
    ("-0.0", None, None),
    ('""', "", None),
    ('"abc"', "abc", None),
    ('"1764688415123"', "1764688415123", 1764688415123),
    ('"-5"', "-5", -5),
    ('"007"', "007", 7),
    ('"999999999999999999"', "9" * 18, 10**18 - 1),
    ('"9999999999999999999"', "9" * 19, None),
    ('" 5"', " 5", None),
    ('"5.0"', "5.0", None),
    ('"\\u0665"', "\u0665", None),
    ('"true"', "true", None),
    ('"a\\u0000b"', "a\0b", None),
    ('"\\ud83d x"', "\\ud83d x", None),
    ("[]", None, None),
    ('["a"]', None, None),
    ("[5]", None, None),
    ("{}", None, None),
    ('{"a":1}', None, None),
]


def scalars(kind: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """Return every place of a text or an integer in the columns, with its type."""
    match kind:
        case dict():
            return [
                scalar for name, each in kind.items() for scalar in scalars(each, (*path, name))
            ]
        case [item]:
            return scalars(item, (*path, "[]"))
        case "JSON":
            return []
    return [(path, kind)]


def body_of(path: tuple[str, ...], text: str) -> bytes:
    """Return a body with this JSON at the path."""
    for name in reversed(path):
        text = f"[{text}]" if name == "[]" else f"{{{json.dumps(name)}:{text}}}"
    return b'{"CallbackCommand":"X",' + text.encode()[1:]


def found_at(row: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Return the value of a row at this path."""
    value: Any = row
    for name in path:
        value = value[0] if name == "[]" else value[name]
    return value


async def test_every_column_accepts_only_its_own_type(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    """The test writes a value of every JSON type to every scalar of every column."""
    cases = [(path, kind, *value) for path, kind in scalars(body_fields()) for value in VALUES]
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    await written.append(*(numbered(at, body_of(c[0], c[2])) for at, c in enumerate(cases, 1)))
    await copied(written, to, hours=9)
    wrong = []
    for row, (path, kind, text, as_text, as_integer) in zip(rows(to), cases, strict=True):
        right: str | int | None = as_text
        if kind != "VARCHAR":
            right = as_integer
            if kind == "UINTEGER" and as_integer is not None and not 0 <= as_integer <= UINT32_MAX:
                right = None
        value = found_at(row, path)
        if (value, type(value)) != (right, type(right)):
            wrong.append((path, kind, text, value, right))
    assert wrong == []
    say(f"{len(scalars(body_fields()))} places in columns x {len(VALUES)} values")


async def test_structures_of_another_type_are_null(tmp_path: Path) -> None:
    """This holds for lists, structures and objects, for whole values and for parts."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    texts = [text for text, _, _ in VALUES if text[0] not in "[{"]
    within = '{"CallbackCommand":"X","MsgBody":[%s,{"MsgType":"T","MsgContent":%s}]}'
    whole = '{"CallbackCommand":"X","MsgBody":%s,"Info":%s}'
    made = [form % (text, text) for form in (within, whole) for text in texts]
    await written.append(*(numbered(at, body.encode()) for at, body in enumerate(made, 1)))
    await copied(written, to, hours=9)
    parquet_rows = rows(to)
    for row in parquet_rows[: len(texts)]:
        assert row["MsgBody"] == [None, {"MsgType": "T", "MsgContent": None}], row["body"]
    for row in parquet_rows[len(texts) :]:
        assert (row["MsgBody"], row["Info"]) == (None, None), row["body"]


# Any JSON, with the extreme values of each type.
scalar_json = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([*INT64, INT64[1] + 1, UINT32_MAX, UINT32_MAX + 1, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters()),
    st.integers().map(str),
)
any_json = st.recursive(
    scalar_json,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
elements = st.fixed_dictionaries({"MsgType": any_json, "MsgContent": any_json})
bodies = st.builds(
    lambda fields, message: {"CallbackCommand": "X"} | fields | message,
    st.dictionaries(st.sampled_from(sorted(body_fields())), any_json, max_size=6),
    st.fixed_dictionaries({}, optional={"MsgBody": st.lists(elements, max_size=3)}),
)


@settings(max_examples=scaled(2), phases=[Phase.generate])
@given(documents=st.lists(bodies, min_size=20, max_size=20))
async def test_any_body_is_copied_with_its_values_or_nulls(
    documents: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A value that is there is the body's own: the same text, the same number, the same object."""
    directory = tmp_path_factory.mktemp("any")
    written, to = WrittenArchive(directory / "archive"), directory / "copy"
    sent_bodies = (json.dumps(document).encode() for document in documents)
    await written.append(*(numbered(at, body) for at, body in enumerate(sent_bodies, 1)))
    await copied(written, to, hours=9)
    for row, document in zip(rows(to), documents, strict=True):
        for path, _ in scalars(body_fields()):
            if path[0] in document and len(path) == 1 and row[path[0]] is not None:
                sent = document[path[0]]
                assert not isinstance(sent, bool | float | list | dict)
                assert str(row[path[0]]) == spelled(sent) or row[path[0]] == int(sent)
        if row["MsgBody"] is not None:
            for element, sent in zip(row["MsgBody"], document["MsgBody"], strict=True):
                content = element["MsgContent"] if element else None
                assert content is None or json.loads(content) == spelled_json(sent["MsgContent"])


def spelled(value: Any) -> str:
    """Return a text as columns spell it."""
    return str(value).encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize(
    ("depth", "there"), [(499, True), (500, True), (501, False), (1000, False)]
)
async def test_an_object_that_is_nested_too_deeply_is_null(
    tmp_path: Path, depth: int, *, there: bool
) -> None:
    """The limit is the same on every Python version; the body keeps the object."""
    written, to = WrittenArchive(tmp_path / "archive"), tmp_path / "copy"
    content = '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)
    body = f'{{"CallbackCommand":"X","MsgBody":[{{"MsgType":"T","MsgContent":{content}}}]}}'
    await written.append(numbered(1, body.encode()))
    await copied(written, to, hours=9)
    (row,) = rows(to)
    (element,) = row["MsgBody"]
    assert element == {"MsgType": "T", "MsgContent": content if there else None}
    assert row["body"] == body


def spelled_json(document: Any) -> Any:
    """Return an object as columns spell it."""
    if isinstance(document, dict):
        return {spelled(key): spelled_json(each) for key, each in document.items()}
    if isinstance(document, list):
        return [spelled_json(each) for each in document]
    if isinstance(document, str):
        return spelled(document)
    # A body's integers of more than 64 bits are floats to orjson.
    is_long = isinstance(document, int) and not -(1 << 63) <= document < 1 << 64
    return float(document) if is_long else document
