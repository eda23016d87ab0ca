"""The event in the headers of a record, or the header that is wrong."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.builders import a_stored_record

from schemas.body_fields import integer, sent_at
from schemas.callback_record import NotACallback, parse_callback_record, place, received_at_s


def test_an_event_has_all_values_that_the_ingress_wrote() -> None:
    """The values have their types, not only their text."""
    record = a_stored_record(4, origin="abc")
    callback = parse_callback_record(record.value, record.headers)
    assert (callback.origin, callback.sequence, callback.sdkappid) == ("abc", 5, "1400000001")
    assert callback.command == "C2C.CallbackAfterSendMsg"
    assert callback.received_at == datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert (callback.client_ip, callback.opt_platform) == ("10.1.2.3", "iOS")
    assert len(callback.id) == 32
    assert callback.body == record.value


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
def test_a_record_with_a_bad_header_is_not_a_callback(header: str, value: bytes) -> None:
    """The error names the header."""
    record = a_stored_record(4)
    with pytest.raises(NotACallback, match=header):
        parse_callback_record(record.value, {**dict(record.headers), header: value}.items())


def test_a_time_in_another_time_zone_becomes_utc() -> None:
    """Hours and minutes are counted in UTC."""
    headers = dict(a_stored_record(4).headers) | {"ce_time": b"2023-11-15T03:43:20+05:30"}
    assert (
        parse_callback_record(b"{}", headers.items()).received_at.isoformat()
        == "2023-11-14T22:13:20+00:00"
    )


def test_the_optional_headers_may_be_absent() -> None:
    """Then their values are empty."""
    headers = dict(a_stored_record(4).headers)
    del headers["ce_clientip"], headers["ce_optplatform"]
    callback = parse_callback_record(b"{}", headers.items())
    assert (callback.client_ip, callback.opt_platform) == ("", "")


def test_a_number_may_be_a_number_or_its_text() -> None:
    """Any other value, or one that does not fit into 64 bits, counts as absent."""
    numbers = (7, "7", "-7", (1 << 32) - 1, -(10**17), 10**18 - 1, 1 - 10**18)
    assert [integer(given) for given in numbers] == [int(number) for number in numbers]
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
        10**18,
        -(10**18),
        [],
        {},
    )
    for given in others:
        assert integer(given) is None


def test_the_time_of_a_message_is_msgtime_else_eventtime() -> None:
    """A time outside of the calendar counts as absent."""
    at = datetime(2019, 5, 10, 9, 38, 46, tzinfo=UTC)
    assert sent_at({"MsgTime": 1557481126, "EventTime": 1}) == at
    assert sent_at({"EventTime": "1557481126000"}) == at
    assert sent_at({"MsgTime": 10**17, "EventTime": 1557481126000}) == at
    assert sent_at({"MsgTime": 10**17}) is None
    assert sent_at({}) is None


def test_a_header_without_a_value_counts_as_missing() -> None:
    """Another producer may write such a header; the consumer must not crash."""
    headers: Any = [("ce_id", None), ("ce_origin", None), ("ce_sequence", None), ("ce_time", None)]
    assert place(headers) == ("", 0)
    assert received_at_s(headers) is None
    with pytest.raises(NotACallback, match="ce_id"):
        parse_callback_record(b"{}", headers)
