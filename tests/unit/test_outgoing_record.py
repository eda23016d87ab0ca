"""The record of a callback, which other teams read from Kafka."""

import pytest
from support.builders import APP, SAMPLES, a_body, a_callback, headers_of

from schemas.body import Malformed
from schemas.outgoing_record import main_topic_record, malformed_record, with_place_and_id
from schemas.topics import CALLBACKS, DEAD_LETTERS


def test_the_value_is_the_body_byte_for_byte() -> None:
    """White space and key order survive."""
    for sample in SAMPLES:
        body = sample.read_bytes()
        assert main_topic_record(a_callback(body)).value == body


def test_headers_are_cloudevents_in_binary_mode() -> None:
    """The headers hold everything that is not in the body."""
    record = main_topic_record(a_callback())
    assert record.topic == CALLBACKS.name
    assert headers_of(record) == {
        "ce_specversion": "1.0",
        "ce_id": headers_of(record)["ce_id"],
        "ce_source": f"/tim/{APP}",
        "ce_type": "C2C.CallbackAfterSendMsg",
        "ce_time": "2023-11-14T22:13:20.123Z",
        "content-type": "application/json",
        "ce_sdkappid": APP,
        "ce_clientip": "10.1.2.3",
        "ce_optplatform": "iOS",
    }


def test_the_id_of_a_callback_without_identity_is_its_place() -> None:
    """Two such callbacks never have the same id, even with the same body."""
    record = main_topic_record(a_callback(b'{"CallbackCommand":"Sns.CallbackFriendAdd"}'))
    assert "ce_id" not in headers_of(record)
    first, second = (dict(with_place_and_id(record.headers, "origin", n))["ce_id"] for n in (1, 2))
    assert first != second


def test_each_callback_has_its_own_headers() -> None:
    """Headers that repeat are made once for an app and a command, times for a millisecond."""
    callbacks = [
        a_callback(b"{}", sdkappid=app, command=command, received_at_ms=at_ms)
        for app in ("1", "2")
        for command in ("X", "Y")
        for at_ms in (999, 1000, 1001)
    ]
    for callback in callbacks * 2:
        malformed = headers_of(malformed_record(callback, Malformed("not JSON")))
        headers = headers_of(main_topic_record(callback))
        assert headers.items() < malformed.items()
        assert headers["ce_source"] == f"/tim/{callback.sdkappid}"
        assert headers["ce_sdkappid"] == callback.sdkappid
        assert headers["ce_type"] == callback.url_command
        seconds, ms = divmod(callback.received_at_ms, 1000)
        assert headers["ce_time"] == f"1970-01-01T00:00:0{seconds}.{ms:03}Z"


def test_a_number_completes_the_headers() -> None:
    """Origin and sequence are the unit of proof."""
    headers = with_place_and_id(main_topic_record(a_callback()).headers, "00ff00ff00ff00ff", 12)
    assert headers[-2:] == [("ce_origin", b"00ff00ff00ff00ff"), ("ce_sequence", b"12")]
    assert [name for name, _ in headers].count("ce_id") == 1


@pytest.mark.parametrize(
    ("in_url", "body", "fault"),
    [
        ("", b"{}", "missing"),
        ("A", b'{"CallbackCommand":"B"}', "'A' in the URL, 'B' in the body"),
        ("A", b'{"CallbackCommand":7}', "not a string"),
        ("", b'{"CallbackCommand":""}', "empty"),
    ],
)
def test_a_command_that_is_missing_or_contradicts_is_malformed(
    in_url: str, body: bytes, fault: str
) -> None:
    """The URL and the body name one command."""
    with pytest.raises(Malformed, match=fault):
        main_topic_record(a_callback(body, command=in_url))


def test_a_command_in_the_url_is_enough() -> None:
    """The body may omit it."""
    assert headers_of(main_topic_record(a_callback(b"{}", command="X")))["ce_type"] == "X"


def test_a_malformed_callback_keeps_its_bytes_and_its_reason() -> None:
    """No authentic callback is lost, and the dead letter has the reason."""
    record = malformed_record(a_callback(b"{", command="X"), Malformed("not JSON"))
    headers = headers_of(record)
    assert (record.topic, record.value) == (DEAD_LETTERS.name, b"{")
    assert headers["ce_type"] == "X"
    assert headers["__connect.errors.topic"] == CALLBACKS.name
    assert headers["__connect.errors.exception.class.name"] == "Malformed"
    assert headers["__connect.errors.exception.message"] == "not JSON"
    assert "hookline.errors.group" not in headers


def test_key_and_headers_are_bounded() -> None:
    """Accounts may be as long as the body; the record must still fit into the broker's limit."""
    accounts = {"From_Account": "a" * 500_000, "To_Account": "b" * 500_000}
    record = main_topic_record(a_callback(a_body(**accounts)))
    assert record.key is not None
    assert len(record.key) < 100
    swapped = {"From_Account": "b" * 500_000, "To_Account": "a" * 500_000}
    assert main_topic_record(a_callback(a_body(**swapped))).key == record.key
    with pytest.raises(Malformed, match="longer than 256 bytes"):
        main_topic_record(a_callback(a_body(CallbackCommand="x" * 257)))
