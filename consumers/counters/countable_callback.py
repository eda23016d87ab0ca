"""
Read a batch's records as what the counters need of each: far less than a whole event.

A usual record takes a fast path. Every other record, also one that is not a callback, is read by
`schemas.callback_record`. Both paths follow the same rules (tests/unit/test_countable_callback.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from consumers.counters.layout import MINUTE_S
from consumers.counters.slots import REPEATED_WITHIN_S, slots_to_search
from consumers.runtime.batch import Record
from consumers.runtime.handler import Rejected
from schemas.additions import (
    CLOCK_AHEAD_S_MAX,
    MESSAGE_AGE_S_MAX,
    Additions,
    additions_of,
    counted_at_s,
    message_additions,
)
from schemas.body import INTEGER_DIGITS_MAX, Malformed, parse
from schemas.body_fields import MESSAGE_COMMANDS
from schemas.callback_record import TIME, NotACallback, parse_callback_record
from schemas.commands import COMMANDS, UNKNOWN
from schemas.identity import place_id
from schemas.message_fields import decode_message
from schemas.outgoing_record import ID, ORIGIN, SEQUENCE

# Bounds of what a reader keeps of earlier records. Few apps, commands, platforms and origins occur.
SOURCES_MAX = 2000
SECONDS_MAX = 100_000
# A time of receipt as the ingress writes it: 2026-01-31T09:05:59.123Z.
_TIME_LENGTH = 24
_TIME_SECONDS = len("2026-01-31T09:05:59")
_DOT, _Z = b".Z"
_ID_LENGTH = 32
# Within these bounds of its time received, a message's own minute is the only slot of its id.
_EARLIEST = REPEATED_WITHIN_S - MESSAGE_AGE_S_MAX
_LATEST = CLOCK_AHEAD_S_MAX - REPEATED_WITHIN_S


class CountableCallback(msgspec.Struct, frozen=True, gc=False):
    """
    A callback that is to be counted. `slots` as in `slots_to_search`; () if its id is made
    from its place, so that no other callback has it.

    `at_s` is the time in whose windows it is counted. Times are seconds since 1970.
    """

    app: str
    origin: str
    sequence: int
    id: bytes
    slots: tuple[int | str, ...]
    received_s: int
    at_s: int
    added: Additions


class _Source(NamedTuple):
    """What a record's headers say that many records have in common."""

    app: str
    command: str
    platform: str
    # Whether a MsgTime gives the callback an id that a repeat has, too (schemas/identity.py).
    is_dated: bool
    # Whether the id covers the whole body, so that a repeat has the same EventTime.
    is_by_body: bool


class CallbackReader:
    """Reads records; it remembers texts that occur again and again."""

    def __init__(self) -> None:
        self._sources: dict[tuple[bytes, ...], _Source] = {}
        self._origins: dict[bytes, str] = {}
        # Seconds since 1970 by the first characters of a usual time.
        self._seconds: dict[bytes, int] = {}

    def read(self, records: Sequence[Record]) -> list[CountableCallback]:
        """
        Return the records' callbacks, in order.

        Raises:
            Rejected: with the offset of the first record that is not a callback.
        """
        callbacks = []
        for record in records:
            try:
                callbacks.append(self._read_usual(record) or self._read_any(record))
            except (NotACallback, Malformed) as error:
                raise Rejected(record.offset, str(error)) from error
        return callbacks

    def _read_usual(self, record: Record) -> CountableCallback | None:
        """Return the callback of a usual record, None if the record is not a usual one."""
        by_name = dict(record.headers)
        try:
            platform = by_name.get("ce_optplatform", b"")
            source = self._sources[by_name["ce_sdkappid"], by_name["ce_type"], platform]
            origin = self._origins[by_name[ORIGIN]]
            received_s = self._seconds[by_name[TIME][:_TIME_SECONDS]]
            identity, sequence = by_name[ID], by_name[SEQUENCE]
            if not (
                _is_usual_time(by_name[TIME])
                and sequence.isdigit()
                and len(sequence) <= INTEGER_DIGITS_MAX
                and len(identity) == _ID_LENGTH
                and identity.isascii()
            ):
                return None
        except (KeyError, TypeError):
            # TypeError: Kafka knows headers without a value.
            return None
        return _countable_callback(
            source, origin, int(sequence), identity, received_s, record.value
        )

    def _read_any(self, record: Record) -> CountableCallback:
        callback = parse_callback_record(record.value, record.headers)
        rule = COMMANDS.get(callback.command, UNKNOWN)
        source = _Source(
            callback.sdkappid,
            callback.command,
            callback.opt_platform,
            is_dated="MsgTime" in rule.times,
            is_by_body=rule.identity != "key",
        )
        received_s = int(callback.received_at.replace(microsecond=0).timestamp())
        self._remember(dict(record.headers), source, callback.origin, received_s)
        identity = callback.id.encode()
        return _countable_callback(
            source, callback.origin, callback.sequence, identity, received_s, callback.body
        )

    def _remember(
        self, by_name: dict[str, bytes], source: _Source, origin: str, received_s: int
    ) -> None:
        if len(self._sources) >= SOURCES_MAX or len(self._origins) >= SOURCES_MAX:
            self._sources.clear()
            self._origins.clear()
        if len(self._seconds) >= SECONDS_MAX:
            self._seconds.clear()
        platform = by_name.get("ce_optplatform", b"")
        self._sources[by_name["ce_sdkappid"], by_name["ce_type"], platform] = source
        self._origins[by_name[ORIGIN]] = origin
        if _is_usual_time(by_name[TIME]):
            self._seconds[by_name[TIME][:_TIME_SECONDS]] = received_s


def _is_usual_time(text: bytes) -> bool:
    return (
        len(text) == _TIME_LENGTH and text[19] == _DOT and text[23] == _Z and text[20:23].isdigit()
    )


def _countable_callback(  # noqa: PLR0917 - all values of one record
    source: _Source, origin: str, sequence: int, identity: bytes, received_s: int, body: bytes
) -> CountableCallback:
    app, command, platform, is_dated, is_by_body = source
    document: Mapping[str, Any] = {}
    fields = decode_message(body) if command in MESSAGE_COMMANDS else None
    if fields is None:
        document = parse(body)
        additions = additions_of(command, platform, document)
    else:
        document = {"MsgTime": fields.message_time, "EventTime": fields.event_time}
        additions = message_additions(command, platform, fields)
    slots: tuple[int | str, ...]
    sent = document.get("MsgTime")
    id_may_be_place = not is_dated or type(sent) is not int
    if sent is None and is_by_body and type(sent_ms := document.get("EventTime")) is int:
        sent = sent_ms // 1000
    if type(sent) is int and _EARLIEST < sent - received_s < _LATEST:
        # The functions below would return the same, more slowly.
        at_s, slots = sent, (sent // MINUTE_S,)
    else:
        id_may_be_place = True
        at_s = counted_at_s(document, received_s)
        slots = slots_to_search(command, document, received_s)
    if id_may_be_place and identity == place_id(origin, sequence).encode():
        slots = ()
    return CountableCallback(app, origin, sequence, identity, slots, received_s, at_s, additions)
