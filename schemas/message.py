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
MESSAGES = (Message.COMMAND, GroupMessage.COMMAND)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sent_at(document: Mapping[str, Any]) -> datetime | None:
    """Return the time by the sender's word: MsgTime in seconds, else EventTime in ms."""
    for field, unit_s in (("MsgTime", 1.0), ("EventTime", 0.001)):
        if (number := integer(document.get(field))) is not None:
            try:
                return _EPOCH + timedelta(seconds=number * unit_s)
            except OverflowError:
                continue
    return None


def integer(value: Any) -> int | None:
    """Return a number that came as an integer or as its decimal text, if 64 bits hold it."""
    digits = text(value)
    if not (digits.isascii() and digits.removeprefix("-").isdecimal() and len(digits) <= 18):
        return None
    return int(digits)
