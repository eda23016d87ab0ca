"""The fast path of reading a record finds the same as `schemas.callback_record`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import MAD_TIMES, SAMPLES, a_body, a_stored_record

from consumers.counters.countable_callback import CallbackReader, CountableCallback
from consumers.counters.slots import REPEATED_WITHIN_S, slots_to_search
from consumers.runtime.batch import Record
from consumers.runtime.handler import Rejected
from schemas.additions import CLOCK_AHEAD_S_MAX, MESSAGE_AGE_S_MAX, additions_of, counted_at_s
from schemas.body import parse
from schemas.callback_record import parse_callback_record
from schemas.identity import place_id

RECEIVED_S = 1_700_000_000


def fully(record: Record) -> CountableCallback:
    """Return what every record is read as, by the plain rules."""
    parsed = parse_callback_record(record.value, record.headers)
    document = parse(parsed.body)
    received_s = int(parsed.received_at.timestamp() // 1)
    is_place = parsed.id == place_id(parsed.origin, parsed.sequence)
    return CountableCallback(
        parsed.sdkappid,
        parsed.origin,
        parsed.sequence,
        parsed.id.encode(),
        () if is_place else slots_to_search(parsed.command, document, received_s),
        received_s,
        counted_at_s(document, received_s),
        additions_of(parsed.command, parsed.opt_platform, document),
    )


def same(record: Record) -> None:
    """Compare the first reading by a reader, and a second one, with the plain rules."""
    reader, right = CallbackReader(), fully(record)
    for _ in range(2):
        (countable,) = reader.read([record])
        assert countable == right
        assert countable.added.sums.numbers == right.added.sums.numbers


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["a", "", "@RBT#1", "administrator", "\ud800", "é", "\0"]),
    st.sampled_from([0, 1, -1, 10**25, 1.0, 1e300, True, None, [], {}, ["a"], "1", "0", "-5"]),
    st.sampled_from(MAD_TIMES),
    st.integers(RECEIVED_S - 40 * 86400, RECEIVED_S + 3 * 86400),
)
ELEMENTS = st.one_of(
    VALUES,
    st.lists(
        st.one_of(
            VALUES,
            st.fixed_dictionaries({"MsgType": VALUES}),
            st.sampled_from([{"MsgType": "TIMTextElem"}, {"MsgType": "X", "a": [[[]]]}]),
        ),
        max_size=3,
    ),
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("From_Account", "To_Account", "GroupId", "Operator_Account"), VALUES),
        **dict.fromkeys(("MsgTime", "EventTime", "OnlineOnlyFlag", "SendMsgResult"), VALUES),
        "MsgBody": ELEMENTS,
        "MsgKey": VALUES,
        "Other": VALUES,
    },
)


@given(
    command=st.sampled_from(
        ["C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg", "State.StateChange", "New.One"]
    ),
    fields=FIELDS,
    platform=st.sampled_from(["", "iOS", "restapi", "Vision"]),
)
def test_any_body_is_read_alike(command: str, fields: dict[str, Any], platform: str) -> None:
    """Fields of any type, and absent ones."""
    body = json.dumps({"CallbackCommand": command, **fields}).encode()
    same(a_stored_record(3, body, opt_platform=platform))


@pytest.mark.parametrize(
    "command",
    ["C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg", "State.StateChange", "New.One"],
)
def test_any_times_are_read_alike(command: str) -> None:
    """Also within a second of the bounds of plausible times, and of those that need one slot."""
    bounds = (
        -MESSAGE_AGE_S_MAX,
        REPEATED_WITHIN_S - MESSAGE_AGE_S_MAX,
        CLOCK_AHEAD_S_MAX - REPEATED_WITHIN_S,
    )
    seconds = [
        RECEIVED_S + bound + by for bound in (*bounds, CLOCK_AHEAD_S_MAX) for by in (-1, 0, 1)
    ]
    odd: list[Any] = [None, 0, -1, "", True, 1.5, 10**25, str(RECEIVED_S)]
    for sent in [*odd, RECEIVED_S, *seconds]:
        for happened in [*odd, *(at * 1000 + 999 for at in (RECEIVED_S, *seconds))]:
            times = {"MsgTime": sent, "EventTime": happened}
            for absent in ((), ("MsgTime",), ("EventTime",)):
                fields = {name: at for name, at in times.items() if name not in absent}
                body = json.dumps({"CallbackCommand": command, **fields}).encode()
                same(a_stored_record(3, body, received_at_ms=RECEIVED_S * 1000))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_vendors_sample_is_read_alike(sample: Any) -> None:
    """Whatever else is in it."""
    same(a_stored_record(0, sample.read_bytes()))


@pytest.mark.parametrize(
    "more",
    [
        b'"x":"\xff"',
        b'"x":1e999',
        b'"x":' + b"[" * 900 + b"]" * 900,
        b'"From_Account":"x","From_Account":"y"',
        b'"From_Account":"x","From_Account":7',
        b'"MsgTime":1700000000,"MsgTime":"tomorrow"',
    ],
)
def test_an_odd_body_is_read_or_refused_alike(more: bytes) -> None:
    """Not UTF-8, deep, without a number, with doubled keys."""
    body = a_body()[:-1] + b"," + more + b"}"
    record = a_stored_record(0)._replace(value=body)
    try:
        right = fully(record)
    except Exception:  # noqa: BLE001 - any failure means that the record is rejected
        right = None
    reader = CallbackReader()
    reader.read([a_stored_record(0)])
    if right is None:
        with pytest.raises(Rejected):
            reader.read([record])
    else:
        assert reader.read([record]) == [right]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_time", b"2023-11-14T22:13:20.1x3Z"),
        ("ce_time", b"2023-11-14T22:13:20.123"),
        ("ce_time", b"2023-11-14T22:13:20+01:00"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"9" * 19),
        ("ce_id", b"\xff" * 32),
        ("ce_id", b"short"),
        ("ce_id", None),
        ("ce_time", None),
        ("ce_optplatform", None),
        ("ce_optplatform", b"\xff"),
        ("ce_origin", b"another"),
        ("ce_type", b""),
    ],
)
def test_an_unusual_header_is_read_or_refused_alike(header: str, value: Any) -> None:
    """After a usual record of the same origin and time."""
    usual = a_stored_record(0)
    headers = [(name, value if name == header else old) for name, old in usual.headers]
    record = usual._replace(headers=headers)
    reader = CallbackReader()
    reader.read([usual])
    try:
        right = fully(record)
    except Exception:  # noqa: BLE001 - any failure means that the record is rejected
        with pytest.raises(Rejected):
            reader.read([record])
    else:
        assert reader.read([record]) == [right]
