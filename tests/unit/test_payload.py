"""Typed views of bodies are as open as the protocol."""

import msgspec
import pytest
from support.builders import SAMPLES

from schemas.payload import PAYLOADS, GroupMessage, Message, StateChange


def test_every_sample_has_a_payload() -> None:
    """Each sample decodes as the struct of its command."""
    kinds = set()
    for sample in SAMPLES:
        command = msgspec.json.decode(sample.read_bytes())["CallbackCommand"]
        kinds.add(type(msgspec.json.decode(sample.read_bytes(), type=PAYLOADS[command])))
    assert kinds == {Message, GroupMessage, StateChange}


def test_the_four_fields_of_the_first_version_are_enough() -> None:
    """All other fields are optional, and unknown ones are accepted."""
    body = b'{"CallbackCommand":"c","From_Account":"a","To_Account":"b","MsgBody":[],"New":{}}'
    message = msgspec.json.decode(body, type=Message)
    assert (message.sender, message.recipient, message.key) == ("a", "b", None)


@pytest.mark.parametrize(
    ("number", "fits"), [(0, True), (2**32 - 1, True), (2**32, False), (-1, False)]
)
def test_message_numbers_are_unsigned_32_bit(number: int, fits: bool) -> None:  # noqa: FBT001 - a parameter
    """Numbers above 2^31 are usual; numbers of 2^32 or more are refused."""
    document = {"CallbackCommand": "c", "From_Account": "a", "To_Account": "b", "MsgBody": []}
    body = msgspec.json.encode(document | {"MsgSeq": number})
    if fits:
        assert msgspec.json.decode(body, type=Message).sequence == number
    else:
        with pytest.raises(msgspec.ValidationError, match="MsgSeq"):
            msgspec.json.decode(body, type=Message)


@pytest.mark.parametrize("event_time", [1670574414123, "1670574414123"])
def test_event_time_is_a_number_or_a_string(event_time: int | str) -> None:
    """Senders use both."""
    body = msgspec.json.encode(
        {
            "CallbackCommand": "c",
            "Info": {"Action": "Login", "To_Account": "u"},
            "EventTime": event_time,
        }
    )
    assert msgspec.json.decode(body, type=StateChange).event_time == event_time
