"""
Read the fields that sinks need from a body: any object; an unusual field counts as absent.

The typed views in schemas/payload.py are for consumers that may refuse a body that they cannot
read; a sink must not, because every callback that was answered OK has to be in it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.body import INTEGER_DIGITS_MAX, to_text
from schemas.payload import GroupMessage, Message

# The commands whose callbacks sinks store as messages, and count as such but online-only ones.
# Callbacks of other commands (official accounts, chatbots) may report a message as well; sinks take
# them as any other callback.
MESSAGE_COMMANDS = (Message.COMMAND, GroupMessage.COMMAND)

# The smallest number of more than INTEGER_DIGITS_MAX digits.
_INTEGER_LIMIT = 10**INTEGER_DIGITS_MAX
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The seconds of the years 1 to 9999, which a datetime can hold.
_SECONDS = range(-62_135_596_800, 253_402_300_800)


def sent_at(document: Mapping[str, Any]) -> datetime | None:
    """Return the time in the body: MsgTime (seconds), else EventTime (milliseconds)."""
    sent = _sent(document)
    return _EPOCH + timedelta(milliseconds=sent[0] * 1000 // sent[1]) if sent else None


def sent_s(document: Mapping[str, Any]) -> int | None:
    """Return the time of `sent_at` in whole seconds since 1970, without making a datetime."""
    sent = _sent(document)
    return sent[0] // sent[1] if sent else None


def _sent(document: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the number of the time in the body, and how many of its unit are a second."""
    for field, per_second in (("MsgTime", 1), ("EventTime", 1000)):
        number = document.get(field)
        if type(number) is not int:
            number = integer(number)
        if number is not None and number // per_second in _SECONDS:
            return number, per_second
    return None


def integer(value: Any) -> int | None:
    """
    Return an integer or decimal text as a number.

    None for anything else, and for more than INTEGER_DIGITS_MAX digits.
    """
    if type(value) is int:
        return value if -_INTEGER_LIMIT < value < _INTEGER_LIMIT else None
    number = to_text(value)
    digits = number.removeprefix("-")
    is_integer = digits.isascii() and digits.isdecimal()
    return int(number) if is_integer and len(digits) <= INTEGER_DIGITS_MAX else None
