"""The columns that are read from a message's content, on any body, and in rows of version 1."""

import random
from collections.abc import Callable
from typing import Any

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st
from support import message_model, worst_bodies
from support.builders import a_body, a_stored_batch, a_stored_record
from support.sync_tables import messages, select
from support.vendor_samples import SAMPLES

from consumers.sync.database import DatabaseHandler
from consumers.sync.message_columns import CONTENT_COLUMNS, content_columns
from ops.simulate.elements import elements
from schemas.body import Malformed, parse
from schemas.body_fields import MESSAGE_COMMANDS

LONG = "紅" * 70_000
ODD: dict[str, list[Any]] = {
    "MsgBody": [
        *(None, 7, "text", {}, [], [None, 7, "x", []], [{}], [{"MsgType": "TIMTextElem"}]),
        [{"MsgType": "TIMTextElem", "MsgContent": {"Text": value}} for value in (1, None, ["a"])],
        [{"MsgType": "TIMTextElem", "MsgContent": [{"Text": "a"}]}],
        [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "nul \0 and \ud800 😀"}}],
        [{"MsgType": "TIMTextElem", "MsgContent": {"Text": LONG}}] * 3,
        [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "a"}}] * 100_000,
        [{"MsgType": f"t{at}"} for at in range(50)],
        [{"MsgType": kind} for kind in ('"', "\\", "{a,b}", "NULL", "", " ", "é\0\ud800", 7, LONG)],
        [{"MsgType": "text", "MsgContent": {"Text": "of a third party"}}],
        [{"MsgType": "TIMFileElem", "MsgContent": {"FileName": "notes.txt", "Text": "no"}}],
        [{"MsgType": "TIMRelayElem", "MsgContent": {"Title": "t", "AbstractList": ["a", 7, "b"]}}],
        [{"MsgType": "TIMFaceElem", "MsgContent": {"Data": "face\0", "Text": "no"}}],
    ],
    "OnlineOnlyFlag": [0, 1, "1", "01", 1.0, True, None, "x", 10**18, -1, 2**64, 10**400, [1]],
    "SendMsgResult": [0, "0", 20006, "-1", "-0", False, None, "x", 10**18, 2**63, 1.5, {}],
    "MsgId": ["1-2-3", 7, "", "x" * 128, "x" * 129, "\0", "\ud800", None, ["a"]],
    "TopicId": ["@TGS#_1@TOPIC#_a", 2**64, True, "紅" * 128, "紅" * 129],
    "From_Account": ["x" * 512, "x" * 513, "紅" * 171, LONG, "\0" * 100, "\ud800" * 200, 7, 10**30],
    "GroupId": ["x" * 513, LONG],
}


def odd_bodies() -> list[bytes]:
    """Return bodies with one odd field each, and one with doubled keys."""
    made = [
        a_body(MsgKey=f"{field} {at}", **{field: value})
        for field, values in ODD.items()
        for at, value in enumerate(values)
    ]
    doubled = (
        b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","MsgId":"a","MsgId":"b","MsgBody":['
        b'{"MsgType":"x","MsgType":"TIMTextElem","MsgContent":{"Text":"1","Text":"2"}}]}'
    )
    return [*made, doubled]


async def test_every_odd_body_has_the_expected_columns(
    database: DatabaseHandler, conninfo: str
) -> None:
    """No row is lost or rejected; a value of an unusual type counts as absent."""
    bodies = odd_bodies()
    await database.handle(a_stored_batch(*(a_stored_record(*each) for each in enumerate(bodies))))
    rows = messages(conninfo)
    assert len(rows) == len(bodies)
    for body, row in zip(bodies, rows, strict=True):
        wanted = message_model.expected(body)
        assert {name: row[name] for name in wanted} == wanted, body[:200]
        document = parse(body)
        for column, field in (("sender", "From_Account"), ("group_id", "GroupId")):
            assert row[column] == message_model.account(document.get(field)), body[:200]


async def test_an_index_on_any_column_of_names_holds_every_row(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Otherwise a long account would be a dead letter; incompressible text is the hardest."""
    chance = random.Random(0)  # noqa: S311 - no secret
    text = "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(30_000))
    fields = ("From_Account", "To_Account", "GroupId", "TopicId", "MsgId")
    with psycopg.connect(conninfo) as connection:
        for column in ("sender", "recipient", "group_id", "topic_id", "message_id"):
            connection.execute(f"create index on hookline.messages ({column})".encode())
        connection.execute("create index on hookline.messages using gin (element_types)")
        connection.execute(
            "create index on hookline.messages using gin (to_tsvector('simple', text))"
        )
    types = [{"MsgType": text[at * 128 : at * 128 + 128]} for at in range(30)]
    words = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": " ".join(text)}}] * 10
    body = a_body(**dict.fromkeys(fields, text), MsgBody=types + words)
    report = a_body(CallbackCommand="C2C.CallbackAfterMsgReport", From_Account=text)
    await database.handle(a_stored_batch(a_stored_record(0, body), a_stored_record(1, report)))
    stored = select(
        conninfo,
        "select m.sender = e.sender, m.sender, topic_id, message_id,"
        " array_length(element_types, 1), length(text)"
        " from hookline.messages m, hookline.events e",
    )
    assert stored == [(True, message_model.account(text), None, None, 20, 65_536)]


elements_of_any_kind = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "MsgType": st.sampled_from(["TIMTextElem", "TIMFaceElem", "TIMRelayElem", "x", 7]),
            "MsgContent": st.dictionaries(
                st.sampled_from(["Text", "Title", "AbstractList", "Desc", "FileName"]),
                st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=2) | st.integers(),
            ),
        },
    ),
    max_size=4,
)


@settings(max_examples=300)
@given(worst_bodies.bodies | elements_of_any_kind.map(lambda made: a_body(MsgBody=made)))
def test_the_columns_of_any_body_are_the_expected_ones(body: bytes) -> None:
    """Bodies are valid JSON with odd escapes and numbers, doubled keys and values of any type."""
    try:
        document = parse(body)
    except Malformed:
        return
    wanted = message_model.expected(body)
    columns = dict(zip(CONTENT_COLUMNS, content_columns(document), strict=True))
    assert columns | {"element_types": None} == wanted | {"element_types": None}
    assert columns["element_types"] == array(wanted["element_types"])


def array(types: list[str]) -> str:
    """Return an array's text form by PostgreSQL's rules."""
    quoted = ['"' + each.replace("\\", r"\\").replace('"', r"\"") + '"' for each in types]
    return "{" + ",".join(quoted) + "}"


def test_usual_messages_have_their_words(say: Callable[[str], None]) -> None:
    """The documented sample of each message, and simulated elements."""
    for command in MESSAGE_COMMANDS:
        columns = content_columns(SAMPLES[command].document)
        assert columns[-1] == "hello"
        assert columns[2:4] == (False, True)
    chance = random.Random(1)  # noqa: S311 - no secret
    words = [content_columns({"MsgBody": elements(chance)})[-1] for _ in range(1000)]
    say(f"{sum(map(bool, words))} of 1000 simulated messages have words")
    assert any(each and "notes.txt" in each for each in words)
