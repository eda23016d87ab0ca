"""Parse the headers of a record that an ingress wrote: its id, place, time and parameters."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from schemas.body import INTEGER_DIGITS_MAX
from schemas.outgoing_record import ID, ORIGIN, SEQUENCE

# Bound of ids and origins, which sinks use as keys. The ingress writes ids of 32 characters and
# origins of 16; other texts may be as long as a request's first line.
KEY_LENGTH_MAX = 256
TIME = "ce_time"


class NotACallback(Exception):
    """A record that no ingress wrote: a header that every callback has is missing or unreadable."""


class CallbackRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One callback as its record has it: the values of the headers, and the body.

    `id` is that of the event that the callback reports; a repeat of the callback has the same `id`.
    (origin, sequence) is the place where the callback was stored, which no other callback has.
    `received_at` is in UTC.
    """

    id: str
    origin: str
    sequence: int
    sdkappid: str
    command: str
    client_ip: str
    opt_platform: str
    received_at: datetime
    body: bytes


def parse_callback_record(value: bytes, headers: Iterable[tuple[str, bytes]]) -> CallbackRecord:
    """
    Return the callback that a record has (docs/contract.md), without parsing its body.

    Raises:
        NotACallback: a header is missing or unreadable; the text names it.
    """
    by_name = dict(headers)
    return CallbackRecord(
        id=_key(by_name, ID),
        origin=_key(by_name, ORIGIN),
        sequence=_sequence(by_name),
        sdkappid=_text(by_name, "ce_sdkappid"),
        command=_text(by_name, "ce_type"),
        client_ip=_text(by_name, "ce_clientip", optional=True),
        opt_platform=_text(by_name, "ce_optplatform", optional=True),
        received_at=_time(by_name, TIME),
        body=value,
    )


def place(headers: Iterable[tuple[str, bytes]]) -> tuple[str, int]:
    """Return origin and sequence; "" and 0 for one that is missing or unreadable."""
    by_name = dict(headers)
    return origin_text(by_name.get(ORIGIN)), sequence_number(by_name.get(SEQUENCE))


def origin_text(header: bytes | None) -> str:
    r"""
    Return the origin in its header's value, "" if there is none.

    Bytes that no ingress writes into an origin are escaped: not every sink can hold NUL or bytes
    that are not UTF-8. Kafka knows headers without a value; no ingress writes one.
    """
    return (header or b"").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def sequence_number(header: bytes | None) -> int:
    """Return the sequence in its header's value, 0 if that is missing or unreadable."""
    return int(header) if header and header.isdigit() and len(header) <= INTEGER_DIGITS_MAX else 0


def received_at_s(headers: Iterable[tuple[str, bytes]]) -> float | None:
    """Return the time of receipt in seconds since 1970, None if the headers have none."""
    try:
        return _time(dict(headers), TIME).timestamp()
    except NotACallback:
        return None


def _text(by_name: dict[str, bytes], header: str, *, optional: bool = False) -> str:
    try:
        text = (by_name.get(header) or b"").decode()
    except UnicodeDecodeError as error:
        raise NotACallback(f"the header {header} is not UTF-8") from error
    if not text and not optional:
        raise NotACallback(f"the header {header} is missing or empty")
    return text


def _key(by_name: dict[str, bytes], header: str) -> str:
    text = _text(by_name, header)
    if len(text) > KEY_LENGTH_MAX:
        raise NotACallback(f"the header {header} is longer than {KEY_LENGTH_MAX} characters")
    return text


def _sequence(by_name: dict[str, bytes]) -> int:
    text = _text(by_name, SEQUENCE)
    if not (text.isascii() and text.isdigit() and len(text) <= INTEGER_DIGITS_MAX):
        raise NotACallback(f"the header {SEQUENCE} is not a number: {text!r:.40}")
    return int(text)


def _time(by_name: dict[str, bytes], header: str) -> datetime:
    text = _text(by_name, header)
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise NotACallback(f"the header {header} has no time zone: {text!r:.40}")
        # The ingress writes UTC.
        return at if at.tzinfo is UTC else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NotACallback(f"the header {header} is not a time: {text!r:.40}") from error
