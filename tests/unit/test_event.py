"""A record as its readers see it, or the header that is wrong."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.builders import a_stored_record

from schemas.event import NotACallback, event, place, received_at_s
from schemas.message import integer, sent_at


def test_an_event_is_what_the_ingress_wrote() -> None:
    """Every header comes back with its type."""
    record = a_stored_record(4, origin="abc")
    told = event(record.value, record.headers)
    assert (told.origin, told.sequence, told.sdkappid) == ("abc", 5, "1400000001")
    assert told.command == "C2C.CallbackAfterSendMsg"
    assert told.received_at == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert (told.client_ip, told.opt_platform) == ("10.1.2.3", "iOS")
    assert len(told.id) == 32
    assert told.body == record.value


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_id", b""),
        ("ce_origin", b"\xff"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"9" * 19),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2023-11-14T22:13:20"),
        ("ce_time", b"0001-01-01T00:00:00+14:00"),
        ("ce_type", b""),
    ],
)
def test_a_record_without_a_proper_header_is_no_callback(header: str, value: bytes) -> None:
    """The header is named, whatever is wrong with it."""
    record = a_stored_record(4)
    with pytest.raises(NotACallback, match=header):
        event(record.value, {**dict(record.headers), header: value}.items())


def test_another_time_zone_is_turned_into_utc() -> None:
    """Hours and minutes are counted in UTC."""
    headers = dict(a_stored_record(4).headers) | {"ce_time": b"2023-11-15T03:43:20+05:30"}
    assert event(b"{}", headers.items()).received_at.isoformat() == "2023-11-14T22:13:20+00:00"


def test_the_optional_headers_may_be_absent() -> None:
    """Then they are empty."""
    headers = dict(a_stored_record(4).headers)
    del headers["ce_clientip"], headers["ce_optplatform"]
    told = event(b"{}", headers.items())
    assert (told.client_ip, told.opt_platform) == ("", "")


def test_numbers_are_taken_as_numbers_or_as_their_text() -> None:
    """What is neither, or does not fit into 64 bits, is told as absent."""
    numbers = (7, "7", "-7", (1 << 32) - 1, -(10**17))
    assert [integer(given) for given in numbers] == [7, 7, -7, 4294967295, -(10**17)]
    others: tuple[object, ...] = (
        None,
        True,
        1.5,
        "",
        "-",
        "--1",
        "1e3",
        "\uff11",
        "9" * 19,
        [],
        {},
    )
    for given in others:
        assert integer(given) is None


def test_the_time_of_a_message_is_msgtime_else_eventtime() -> None:
    """A time that no calendar has is told as absent."""
    at = datetime(2019, 5, 10, 9, 38, 46, tzinfo=UTC)
    assert sent_at({"MsgTime": 1557481126, "EventTime": 1}) == at
    assert sent_at({"EventTime": "1557481126000"}) == at
    assert sent_at({"MsgTime": 10**17, "EventTime": 1557481126000}) == at
    assert sent_at({"MsgTime": 10**17}) is None
    assert sent_at({}) is None


def test_a_header_without_a_value_is_as_good_as_none() -> None:
    """Another producer may write one; it is no reason for a consumer to end."""
    headers: Any = [("ce_id", None), ("ce_origin", None), ("ce_sequence", None), ("ce_time", None)]
    assert place(headers) == ("", 0)
    assert received_at_s(headers) is None
    with pytest.raises(NotACallback, match="ce_id"):
        event(b"{}", headers)
