"""
What sinks tell of a body, tolerant: any object is taken, an unusual field is told as absent.

The typed views in schemas/payload.py are for consumers that may refuse what they cannot read; a
sink must not, because everything that was answered OK has to be in it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.body import text
from schemas.payload import GroupMessage, Message

# The commands that say: a message was sent.
MESSAGE_COMMANDS = (Message.COMMAND, GroupMessage.COMMAND)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)


def sent_at(document: Mapping[str, Any]) -> datetime | None:
    """Return the time by the sender's word: MsgTime in seconds, else EventTime in ms."""
    for field, unit in (("MsgTime", _SECOND), ("EventTime", _MILLISECOND)):
        if (number := integer(document.get(field))) is not None:
            try:
                return _EPOCH + number * unit
            except OverflowError:
                continue
    return None


def integer(value: Any) -> int | None:
    """Return a number that came as an integer or as its decimal text, of at most 18 digits."""
    number = text(value)
    digits = number.removeprefix("-")
    return int(number) if digits.isascii() and digits.isdecimal() and len(digits) <= 18 else None
