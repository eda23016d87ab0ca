"""The identity of a callback: its parties, the record's key and its `ce_id`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.builders import APP, a_body, a_callback, headers_of

from schemas.identity import IdentifyingParts, content_digest
from schemas.outgoing_record import (
    ID,
    OutgoingRecord,
    ReceivedCallback,
    main_topic_record,
    with_place_and_id,
)
from schemas.parties import KEY_BYTES_MAX

CASES = json.loads((Path(__file__).parents[1] / "samples" / "identity" / "cases.json").read_text())
EVENT_TIME = 1670574414123


def record_of(url: dict[str, str], document: dict[str, Any]) -> OutgoingRecord:
    """Return the record of a request."""
    return main_topic_record(
        ReceivedCallback(
            sdkappid=url.get("SdkAppid", APP),
            url_command=url.get("CallbackCommand", ""),
            client_ip=url.get("ClientIP", ""),
            opt_platform=url.get("OptPlatform", ""),
            received_at_ms=0,
            body=json.dumps(document).encode(),
        )
    )


def id_of(body: bytes, **url: str) -> str | None:
    """Return the `ce_id` of a request; None if it depends on the place of storage."""
    return headers_of(main_topic_record(a_callback(body, **url))).get(ID)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_real_cases_have_the_expected_number_of_ids(case: dict[str, Any]) -> None:
    """Different events never have one id, and a repeated request has the id of the first."""
    records = [record_of(request["url"], request["body"]) for request in case["requests"]]
    ids = {
        dict(with_place_and_id(record.headers, "origin", sequence))[ID]
        for sequence, record in enumerate(records, start=1)
    }
    assert len(ids) == case["different_ids"]
    if "same_partition" in case:
        assert (len({record.key for record in records}) == 1) is case["same_partition"]


def test_the_id_of_a_message_is_the_documented_digest() -> None:
    """Another team can compute it from docs/contract.md alone."""
    document = json.loads(a_body(EventTime=EVENT_TIME, UnreadMsgNum=7))
    stable = {field: document[field] for field in document if field != "EventTime"}
    del stable["UnreadMsgNum"]
    content = json.dumps(stable, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    command = document["CallbackCommand"]
    identifying = f"message {len(APP)} {len(command)} {APP}{command}{content}"
    digest = hashlib.sha256(identifying.encode()).hexdigest()[:32]
    assert id_of(json.dumps(document).encode()) == digest


def test_the_id_of_an_event_is_the_documented_digest() -> None:
    """The digest covers the whole request."""
    command, body = "X.Y", b'{"EventTime":1}'
    head = f"event {len(APP)} {len(command)} 8 3 {APP}{command}10.1.2.3iOS"
    digest = hashlib.sha256(head.encode() + body).hexdigest()[:32]
    assert id_of(body, command=command) == digest


@pytest.mark.parametrize(
    "again",
    [
        a_body(EventTime=EVENT_TIME + 1500, UnreadMsgNum=8),
        a_body(EventTime=str(EVENT_TIME), UnreadMsgNum=-1),
        json.dumps(dict(reversed(json.loads(a_body()).items())), indent=1).encode(),
    ],
    ids=["later", "as text", "in another order"],
)
def test_a_message_that_is_reported_again_has_the_same_id_and_key(again: bytes) -> None:
    """The time and place of the callback are not part of the message."""
    first = main_topic_record(a_callback(a_body(EventTime=EVENT_TIME, UnreadMsgNum=7)))
    second = main_topic_record(a_callback(again, client_ip="10.9.9.9", opt_platform="Web"))
    assert (headers_of(first)[ID], first.key) == (headers_of(second)[ID], second.key)


def test_records_with_one_id_have_one_content_digest() -> None:
    """By this digest, the audit distinguishes repeats from different callbacks with one id."""
    command = "C2C.CallbackAfterSendMsg"
    first, repeat, other = (
        content_digest(IdentifyingParts(APP, command, "10.1.2.3", "iOS", body))
        for body in (
            a_body(EventTime=1, UnreadMsgNum=1),
            a_body(EventTime=2, UnreadMsgNum=2),
            a_body(EventTime=1, UnreadMsgNum=1, CloudCustomData="other"),
        )
    )
    assert len(first) == 16
    assert first == repeat != other


def test_messages_with_different_infinite_numbers_are_different() -> None:
    """The parser reads all of them as infinity, which JSON cannot express."""
    numbers = ("null", "1e400", "2e400", "-1e400", "9" * 400, "9" * 5000, "8" * 5000)
    bodies = [a_body().replace(b"{", b'{"N":%s,' % number.encode(), 1) for number in numbers]
    assert len({id_of(body) for body in bodies}) == len(numbers)
    requests = [IdentifyingParts(APP, "C2C.CallbackAfterSendMsg", "", "", body) for body in bodies]
    assert len(set(map(content_digest, requests))) == len(numbers)


def test_any_bytes_have_a_content_digest() -> None:
    """Also bytes that no ingress would write."""
    digests = {
        content_digest(IdentifyingParts(APP, "C2C.CallbackAfterSendMsg", "", "", body))
        for body in (b"", b"{", b"[]", b"\xff", b'{"MsgKey":"a"}', b'{"MsgKey":"\\ud800"}')
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (a_body(), f"{APP}/pair/4/Jonh/jared"),
        (a_body(From_Account="Jonh", To_Account="jared"), f"{APP}/pair/4/Jonh/jared"),
        (a_body(From_Account=7, To_Account=12), f"{APP}/pair/2/12/7"),
        (a_body(GroupId="@TGS#2"), f"{APP}/group/@TGS#2"),
        (a_body(From_Account=None, To_Account=None, Info={"To_Account": "u"}), f"{APP}/account/u"),
        (
            a_body(From_Account=None, To_Account=None, Report_Account="b", Peer_Account="a"),
            f"{APP}/pair/1/a/b",
        ),
        (b'{"CallbackCommand":"X"}', None),
        (b'{"CallbackCommand":"X","Info":[]}', None),
        (b'{"CallbackCommand":"Sns.CallbackFriendAdd"}', None),
    ],
)
def test_one_conversation_has_one_key(body: bytes, key: str | None) -> None:
    """Both directions of a conversation are in one partition, in order."""
    assert main_topic_record(a_callback(body)).key == (None if key is None else key.encode())


def test_keys_of_different_conversations_differ() -> None:
    """For any characters in accounts, and any kind of party."""
    bodies = (
        {"From_Account": "a/b", "To_Account": "c"},
        {"From_Account": "a", "To_Account": "b/c"},
        {"From_Account": "1/a", "To_Account": "b"},
        {"GroupId": "a"},
        {"Official_Account": "a"},
        {"From_Account": "a"},
        {"From_Account": "pair/1/a/b"},
        {"GroupId": "a" * KEY_BYTES_MAX},
        {"Official_Account": "a" * KEY_BYTES_MAX},
        {"GroupId": "b" * KEY_BYTES_MAX},
    )
    keys = {record_of({"CallbackCommand": "X"}, body).key for body in bodies}
    assert len(keys) == len(bodies)
    assert all(key and len(key) <= KEY_BYTES_MAX for key in keys)


UNNAMED = {"MsgKey": None, "MsgSeq": 901, "MsgRandom": 77, "MsgTime": 1764688415}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"MsgKey": "901_77_1764688415"}, True),
        ({"MsgKey": "any text"}, True),
        (UNNAMED, True),
        (UNNAMED | {"MsgSeq": "901", "MsgRandom": None, "Random": "77"}, True),
        ({"MsgKey": ""}, False),
        ({"MsgKey": "0_0_0"}, False),
        ({"MsgKey": "0_0_1764688415"}, False),
        ({"MsgKey": "0_77_1764688415"}, True),
        ({"MsgKey": 901}, False),
        ({"MsgKey": ["901_77_1764688415"]}, False),
        (UNNAMED | {"MsgSeq": 0}, False),
        (UNNAMED | {"MsgRandom": 0}, False),
        (UNNAMED | {"MsgTime": None}, False),
        (UNNAMED | {"MsgSeq": True}, False),
        (UNNAMED | {"MsgSeq": "one"}, False),
    ],
    ids=str,
)
def test_only_a_named_message_may_be_reported_at_another_time(
    fields: dict[str, Any], *, named: bool
) -> None:
    """Two messages without a name are different, even with equal content."""
    ids = {id_of(a_body(**fields, EventTime=at)) for at in (EVENT_TIME, EVENT_TIME + 1)}
    assert len(ids) == (1 if named else 2)
    devices = {id_of(a_body(**fields, EventTime=1), opt_platform=on) for on in ("iOS", "Web")}
    assert len(devices) == (1 if named else 2)


@pytest.mark.parametrize(
    ("document", "carried"),
    [
        ({"EventTime": EVENT_TIME}, True),
        ({"EventTime": str(EVENT_TIME)}, True),
        ({"EventTime": 1670574414123.5}, True),
        ({"EventTime": 0}, False),
        ({"EventTime": "0"}, False),
        ({"EventTime": ""}, False),
        ({"EventTime": None}, False),
        ({"EventTime": True}, False),
        ({"EventTime": -1}, False),
        ({"EventTime": "soon"}, False),
        ({"EventTime": [EVENT_TIME]}, False),
        ({"MsgTime": 1764688415}, False),
        ({"LastReadTime": 1764688415}, False),
        ({"Events": [{"EventTime": 1557481127}, {"EventTime": 1557481128}]}, True),
        ({"Events": [{"EventTime": 1557481127}, {}]}, False),
        ({"Events": [{"EventTime": 1557481127}, 1557481128]}, False),
        ({"Events": []}, False),
        ({"Events": {"EventTime": 1557481127}}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_repeat_has_the_id_of_the_first_if_it_carries_a_time(
    document: dict[str, Any], *, carried: bool
) -> None:
    """Without a time, a repeat cannot be distinguished from another event with equal content."""
    assert bool(id_of(json.dumps(document).encode(), command="New.Command")) is carried


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("C2C.CallbackBeforeSendMsg", "MsgTime"),
        ("C2C.CallbackAfterSendMsg", "MsgTime"),
        ("Live.CallbackAfterStartBattle", "StartTime"),
        ("Live.CallbackAfterEndBattle", "EndTime"),
    ],
)
def test_some_commands_have_a_time_field_of_their_own(command: str, field: str) -> None:
    """It dates the event itself; the table of commands names it."""
    assert id_of(json.dumps({field: 1764688415}).encode(), command=command)
    assert not id_of(json.dumps({"TaskTime": 1764688415}).encode(), command=command)


def test_the_last_of_doubled_keys_counts() -> None:
    """As in all our JSON readers, so no reader uses the other values."""
    template = (
        b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","MsgKey":"a","To_Account":"%b",'
        b'"To_Account":"%b","From_Account":"ann"}'
    )
    first, same, other = (
        main_topic_record(a_callback(template % names))
        for names in ((b"x", b"bob"), (b"y", b"bob"), (b"bob", b"x"))
    )
    assert (first.key, headers_of(first)[ID]) == (same.key, headers_of(same)[ID])
    assert first.key != other.key
    assert headers_of(first)[ID] != headers_of(other)[ID]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("18446744073709551616", "18446744073709551617"),
        ("0.1", "0.10000000000000000001"),
        # orjson writes the double of these without a point.
        ("10000000000000000000000", "10000000000000000000001"),
        ("1e-7", "1.00000000000000000001e-7"),
        ("1e-400", "2e-400"),
        ("0.0", "1e-99999999999999999999999"),
        ("1e400", "-1e400"),
        ("1e400", "null"),
        ("9" * 400, "9" * 399 + "8"),
    ],
    ids=lambda number: number[:26],
)
def test_messages_that_differ_in_a_long_number_are_different(one: str, other: str) -> None:
    """Two such numbers may be parsed as the same double; a byte order mark changes nothing."""
    for mark in (b"", b"\xef\xbb\xbf"):
        bodies = [
            mark + a_body().replace(b"{", b'{"x":%b,' % number.encode(), 1)
            for number in (one, other)
        ]
        first, again, second = (id_of(body) for body in (bodies[0], *bodies))
        assert first == again != second


@pytest.mark.parametrize("number", ["29.340656774469956", "1.10", "1e3", "-0.0", "5e-324", "1e22"])
def test_a_message_with_an_exact_double_may_be_reported_later(number: str) -> None:
    """Coordinates are such numbers; the text after it looks like a number, but is not."""
    bodies = [
        a_body(CloudCustomData=":1e400", EventTime=at).replace(
            b"{", b'{"x":%b,' % number.encode(), 1
        )
        for at in (EVENT_TIME, EVENT_TIME + 1)
    ]
    assert id_of(bodies[0]) == id_of(bodies[1])


@pytest.mark.parametrize(
    "text", ['"\\ud800"', "[" * 300 + "]" * 300], ids=["half an emoji", "deeply nested"]
)
def test_a_message_that_cannot_be_written_again_is_identified_by_the_whole_request(
    text: str,
) -> None:
    """A repeat has the id of the first; no other request has it."""
    head = '{"CallbackCommand":"C2C.CallbackAfterSendMsg","MsgKey":"a","CloudCustomData":'
    bodies = [f'{head}{text},"UnreadMsgNum":{unread}}}'.encode() for unread in (1, 1, 2)]
    ids = [id_of(body) for body in bodies]
    assert ids[0] == ids[1] != ids[2]
    assert id_of(bodies[0], client_ip="10.9.9.9") != ids[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("14", "00"), ("140", "0")),
        (("1", "2 3"), ("1 2", "3")),
    ],
)
def test_neighbouring_texts_do_not_run_together(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Neither the parameters of the URL nor command and app."""
    for first, second in (("client_ip", "opt_platform"), ("sdkappid", "command")):
        ids = {
            id_of(b'{"EventTime":1}', **({"command": "X"} | {first: texts[0], second: texts[1]}))
            for texts in (one, other)
        }
        assert len(ids) == 2
