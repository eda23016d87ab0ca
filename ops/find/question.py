"""The conditions of a search, and the kind of id that a text is."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.records.time_range import TimeRange

KINDS = ("message", "ce_id", "place", "group", "user", "time")
_HEX_32 = re.compile(r"[0-9a-fA-F]{32}")
_PLACE = re.compile(r"([0-9a-fA-F]{16})[/: ]([1-9][0-9]{0,17})")
_MESSAGE_KEY = re.compile(r"([0-9]{1,10})_([0-9]{1,10})_([0-9]{1,11})", re.ASCII)
_MESSAGE_ID = re.compile(r"[0-9]+-([0-9]{10})-[0-9]+", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(?:Z|\+00:?00)?")
# The seconds of the years 2001 to 2096: other numbers are not the time of a message.
_SECONDS = range(1_000_000_000, 4_000_000_000)


class NotAnId(Exception):
    """A text is not an id of the kind that was named; the text says which form it must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    The callbacks that are looked for: all parts that are given must hold.

    `message`: a MsgKey, or the id of a message. `place`: origin and sequence. `accounts`: one or
    two parties. `app`: the SdkAppid. `at`: a day, hour, minute or second in which the callback was
    received. `sent_at`: the time in the id itself, None if it has none.
    """

    message: str | None = None
    ce_id: str | None = None
    place: tuple[str, int] | None = None
    accounts: tuple[str, ...] = ()
    group: str | None = None
    app: str | None = None
    at: TimeRange | None = None
    sent_at: datetime | None = None

    @property
    def message_numbers(self) -> tuple[int, int, int] | None:
        """MsgSeq, the random number and MsgTime that a MsgKey is made of; None if it is not one."""
        parts = _MESSAGE_KEY.fullmatch(self.message or "")
        return (int(parts[1]), int(parts[2]), int(parts[3])) if parts else None

    @property
    def is_list(self) -> bool:
        """Whether many callbacks are expected, not one and its repeats."""
        return not (self.message or self.ce_id or self.place)

    @property
    def at_text(self) -> str:
        """The part of a time of receipt that all times in `at` have, "" without `at`."""
        if self.at is None:
            return ""
        length = {timedelta(days=1): 10, timedelta(hours=1): 13, timedelta(minutes=1): 16}
        return self.at.since.strftime("%Y-%m-%dT%H:%M:%S")[: length.get(self.at.length, 19)]

    def __str__(self) -> str:
        """Return the question in words."""
        parts = []
        if self.message is not None:
            parts.append(self._message_words())
        if self.ce_id:
            parts.append(f"ce_id {self.ce_id}")
        if self.place:
            parts.append(f"sequence {self.place[1]} of origin {self.place[0]}")
        if len(self.accounts) == 2:
            parts.append(f"callbacks between the users {self.accounts[0]} and {self.accounts[1]}")
        elif self.accounts:
            parts.append(f"callbacks of the user {self.accounts[0]}")
        if self.group is not None:
            parts.append(f"callbacks of the group {self.group}")
        if self.at:
            parts.append(
                f"callbacks received between {self.at.since:%Y-%m-%d %H:%M:%S} and"
                f" {self.at.until:%H:%M:%S} UTC"
            )
        if self.app:
            parts.append(f"app {self.app}")
        return ", ".join(parts)

    def _message_words(self) -> str:
        numbers = self.message_numbers
        sent = f", sent {self.sent_at:%Y-%m-%d %H:%M:%S} UTC" if self.sent_at else ""
        if numbers:
            return f"message key {self.message} (MsgSeq {numbers[0]}, random {numbers[1]}{sent})"
        return f"message id {self.message}{f' ({sent[2:]})' if sent else ''}"


def kind_of(text: str) -> str:
    """Return which of KINDS a text most likely is; a text of no other form is a user."""
    if _HEX_32.fullmatch(text):
        return "ce_id"
    if _PLACE.fullmatch(text):
        return "place"
    if _MESSAGE_KEY.fullmatch(text) or _MESSAGE_ID.fullmatch(text):
        return "message"
    if _TIME.fullmatch(text):
        return "time"
    return "group" if text.startswith("@TGS#") else "user"


def question_of(text: str, kind: str, *, app: str | None) -> Question:
    """
    Return the question for one id of a kind.

    Raises:
        NotAnId: the text cannot be of this kind.
    """
    match kind:
        case "message":
            return Question(message=text, sent_at=_sent_at(text), app=app)
        case "ce_id":
            return Question(ce_id=text.lower() if _HEX_32.fullmatch(text) else text, app=app)
        case "place":
            if not (parts := _PLACE.fullmatch(text)):
                raise NotAnId("a place is ORIGIN/SEQUENCE: 16 hex digits, and a number from 1 on")
            return Question(place=(parts[1].lower(), int(parts[2])), app=app)
        case "time":
            return Question(at=moment(text), app=app)
        case "group":
            return Question(group=text, app=app)
        case _:
            return Question(accounts=(text,), app=app)


def moment(text: str) -> TimeRange:
    """
    Return the day, hour, minute or second that a text names, in UTC.

    Raises:
        NotAnId: it is not a time.
    """
    if not _TIME.fullmatch(text):
        raise NotAnId("a time is written as 2026-01-31T09:05:10, or a shorter part of it, in UTC")
    digits = re.sub(r"(?:Z|\+00:?00)$", "", text).replace(" ", "T").partition(".")[0]
    form, length = {
        10: ("%Y-%m-%d", timedelta(days=1)),
        13: ("%Y-%m-%dT%H", timedelta(hours=1)),
        16: ("%Y-%m-%dT%H:%M", timedelta(minutes=1)),
        19: ("%Y-%m-%dT%H:%M:%S", timedelta(seconds=1)),
    }[len(digits)]
    try:
        since = datetime.strptime(digits, form).replace(tzinfo=UTC)
        return TimeRange(since=since, until=since + length)
    except (ValueError, OverflowError) as error:
        raise NotAnId(f"{text} is not a time") from error


def _sent_at(message: str) -> datetime | None:
    """Return the second of sending in a message's key or id."""
    key = _MESSAGE_KEY.fullmatch(message)
    seconds = key[3] if key else (_MESSAGE_ID.fullmatch(message) or ("", ""))[1]
    if not seconds or int(seconds) not in _SECONDS:
        return None
    return datetime.fromtimestamp(int(seconds), UTC)
