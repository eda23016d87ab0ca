"""
The records of a target's retry topic: its state, as changes of keys. No I/O.

A partition of the topic has the state of the main topic's partition with the same number: the
first position, the present one, and the parked callbacks. Kafka's compaction keeps the last record
of each key.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from consumers.runtime.batch import Position, Record

Headers: TypeAlias = list[tuple[str, bytes]]

POSITION_KEY, OWNER_KEY, BEGUN_KEY = b"position", b"owner", b"begun"
_PARKED_KEY = b"parked/"
# The headers that a parked callback has beside its own.
RETRY = "hookline.retry."
_KEY, _TIMESTAMP_MS = RETRY + "key", RETRY + "timestamp_ms"
ATTEMPTS, NEXT_TRY_MS = RETRY + "attempts", RETRY + "next_try_ms"
# Release 0.1.0 named it so; it is also the time at which a callback was sent again.
FAILED_OR_RESENT_MS = RETRY + "first_failed_at_ms"
REASON = RETRY + "reason"


class UnreadableRetryRecord(Exception):
    """A record of the retry topic that neither a webhook nor a resend to it wrote."""


class ParkedCallback(NamedTuple):
    """
    A callback that waits for its delivery in the retry topic.

    `record` is as the main topic has it. `attempts` have failed so far; the next one is due at
    `next_try_ms`. Only the first callback of a conversation is tried.

    `failed_or_resent_at_ms` is when the first of the attempts failed. While none has failed, it is
    when `hookline dead-letters` sent the callback again, 0 if it did not.
    """

    record: Record
    attempts: int
    next_try_ms: int
    failed_or_resent_at_ms: int
    reason: str

    @property
    def failing_since_ms(self) -> int:
        """When the first of the attempts failed, 0 if none has failed."""
        return self.failed_or_resent_at_ms if self.attempts else 0


class FinishedCallback(NamedTuple):
    """The parked callback at `offset` of the main topic is delivered, or is a dead letter."""

    offset: int


class PartitionClaim(NamedTuple):
    """A member has taken the partition over; earlier owners can write nothing after it."""

    claim: str


class TargetBegin(NamedTuple):
    """The target began at `position`: earlier callbacks are not for it. An audit reads this."""

    position: Position


Change: TypeAlias = Position | ParkedCallback | FinishedCallback | PartitionClaim | TargetBegin


class RetryRecord(NamedTuple):
    """Key, value and headers of a record of the retry topic."""

    key: bytes
    value: bytes | None
    headers: Headers


def conversation(record: Record) -> bytes:
    """Return the conversation of a callback: its key. A callback without one has its own."""
    return record.key if record.key is not None else b"\0%d" % record.offset


def retry_record(change: Change) -> RetryRecord:
    """Return the record that states `change`."""
    match change:
        case Position():
            return RetryRecord(POSITION_KEY, json.dumps(change._asdict()).encode(), [])
        case PartitionClaim(claim):
            return RetryRecord(OWNER_KEY, claim.encode(), [])
        case TargetBegin(position):
            return RetryRecord(BEGUN_KEY, json.dumps(position._asdict()).encode(), [])
        case FinishedCallback(offset):
            return RetryRecord(_parked_key(offset), None, [])
        case ParkedCallback(record):
            own_headers = {
                _KEY: record.key,
                _TIMESTAMP_MS: b"%d" % record.timestamp_ms,
                ATTEMPTS: b"%d" % change.attempts,
                NEXT_TRY_MS: b"%d" % change.next_try_ms,
                FAILED_OR_RESENT_MS: b"%d" % change.failed_or_resent_at_ms,
                REASON: change.reason.encode("utf-8", "backslashreplace"),
            }
            added = [(name, value) for name, value in own_headers.items() if value is not None]
            return RetryRecord(_parked_key(record.offset), record.value, [*record.headers, *added])


def change(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Change:
    """
    Return the change that a record of the retry topic states.

    Raises:
        UnreadableRetryRecord: it states none.
    """
    try:
        if key == POSITION_KEY and value is not None:
            return _position(json.loads(value))
        if key == BEGUN_KEY and value is not None:
            return TargetBegin(_position(json.loads(value)))
        if key == OWNER_KEY and value is not None:
            return PartitionClaim(value.decode())
        if key is not None and key.startswith(_PARKED_KEY):
            offset = int(key.removeprefix(_PARKED_KEY))
            return FinishedCallback(offset) if value is None else _parked(offset, value, headers)
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableRetryRecord(
            f"the record with the key {key!r:.60} is damaged: {error!r}"
        ) from error
    raise UnreadableRetryRecord(f"the record has the unknown key {key!r:.60}")


def _parked_key(offset: int) -> bytes:
    return _PARKED_KEY + b"%020d" % offset


def _position(document: Mapping[str, object]) -> Position:
    next_offset, last, topic_id = (document[name] for name in ("next_offset", "last", "topic_id"))
    if not isinstance(next_offset, int) or not isinstance(topic_id, str | None):
        raise TypeError(f"no position: {document}")
    match last:
        case None:
            return Position(next_offset, None, topic_id)
        case [int() as offset, str() as origin, int() as sequence]:
            return Position(next_offset, (offset, origin, sequence), topic_id)
    raise TypeError(f"no position: {document}")


def _parked(offset: int, value: bytes, headers: Iterable[tuple[str, bytes]]) -> ParkedCallback:
    headers = tuple(headers)
    own_headers = {name: header_value for name, header_value in headers if name.startswith(RETRY)}
    original = tuple(header for header in headers if not header[0].startswith(RETRY))
    return ParkedCallback(
        record=Record(
            offset, int(own_headers[_TIMESTAMP_MS]), own_headers.get(_KEY), value, original
        ),
        attempts=int(own_headers[ATTEMPTS]),
        next_try_ms=int(own_headers[NEXT_TRY_MS]),
        failed_or_resent_at_ms=int(own_headers[FAILED_OR_RESENT_MS]),
        reason=own_headers[REASON].decode(),
    )
