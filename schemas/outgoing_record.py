"""
The records that an ingress writes: the value is the body, unchanged; all else is in headers.

CloudEvents 1.0, Kafka binary mode. docs/contract.md is the contract with readers of the topic.
"""

import functools
from datetime import UTC, datetime

import msgspec

from schemas.body import Malformed, parse, to_text
from schemas.dead_letter import INGRESS, KAFKA_PRODUCE, DeadLetterReason, reason_headers
from schemas.identity import IdentifyingParts, callback_id, place_id
from schemas.parties import parties, record_key
from schemas.topics import CALLBACKS, DEAD_LETTERS

Headers = list[tuple[str, bytes]]

# Header names that more than one module reads or writes.
ID = "ce_id"
ORIGIN = "ce_origin"
SEQUENCE = "ce_sequence"

# The longest known command has 55 characters. The bound limits the copies of it in key and headers.
COMMAND_BYTES_MAX = 256

# `ce_type` must not be empty (CloudEvents 1.0); a dead letter without a command has this one.
UNKNOWN_COMMAND = "unknown"


class ReceivedCallback(msgspec.Struct, frozen=True, kw_only=True):
    """
    One authentic request: parameters of its URL, and the body as received (decompressed).

    `url_command` is "" if only the body has the command.
    """

    sdkappid: str
    url_command: str
    client_ip: str
    opt_platform: str
    received_at_ms: int
    body: bytes


class OutgoingRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record that the ingress writes to Kafka. aiokafka takes headers only as a list of pairs."""

    topic: str
    key: bytes | None
    headers: Headers
    value: bytes


def main_topic_record(callback: ReceivedCallback) -> OutgoingRecord:
    """
    Return the main topic's record of `callback`, without its place (see `with_place_and_id`).

    Raises:
        Malformed: the body is not a JSON object, or has no command, or another one than the URL.
    """
    document = parse(callback.body)
    command = _command(callback.url_command, document.get("CallbackCommand"))
    parts = IdentifyingParts(
        callback.sdkappid,
        command,
        callback.client_ip,
        callback.opt_platform,
        callback.body,
    )
    return OutgoingRecord(
        CALLBACKS.name,
        record_key(callback.sdkappid, command, parties(document)),
        _headers(callback, command, callback_id(parts, document)),
        callback.body,
    )


def malformed_record(callback: ReceivedCallback, malformed: Malformed) -> OutgoingRecord:
    """Return the dead-letter topic's record for an authentic callback that is malformed."""
    reason = _reason(CALLBACKS.name, "VALUE_CONVERTER", malformed, callback.received_at_ms)
    return OutgoingRecord(
        DEAD_LETTERS.name,
        None,
        _headers(callback, _short(callback.url_command) or UNKNOWN_COMMAND, "")
        + reason_headers(reason),
        callback.body,
    )


def refused_record(record: OutgoingRecord, refusal: Exception, at_ms: int) -> OutgoingRecord:
    """Return the dead-letter topic's record for a record that Kafka refuses to store."""
    reason = _reason(record.topic, KAFKA_PRODUCE, refusal, at_ms)
    headers = record.headers + reason_headers(reason)
    return OutgoingRecord(DEAD_LETTERS.name, record.key, headers, record.value)


def with_place_and_id(headers: Headers, origin: str, sequence: int) -> Headers:
    """
    Return `headers`, the place that a spool gave the callback (its origin and sequence), and an id.

    Headers with a `ce_id` keep it. Those of a callback that is malformed, or that `callback_id`
    cannot identify, have none: its place is its id.
    The sequences of every origin are 1, 2, 3, … without a gap; by them the audit proves that no
    callback is missing.
    """
    place = [(ORIGIN, origin.encode()), (SEQUENCE, b"%d" % sequence)]
    for name, _ in headers:
        if name == ID:
            return headers + place
    return [*headers, (ID, place_id(origin, sequence).encode()), *place]


def _reason(topic: str, stage: str, error: Exception, at_ms: int) -> DeadLetterReason:
    return DeadLetterReason(
        topic=topic,
        component=INGRESS,
        stage=stage,
        exception=type(error).__name__,
        message=str(error),
        attempts=1,
        first_failed_at_ms=at_ms,
        last_failed_at_ms=at_ms,
    )


def _command(in_url: str, in_body: object) -> str:
    if in_body is None:
        if not in_url:
            raise Malformed("CallbackCommand is missing, in the URL and in the body")
        command = in_url
    elif isinstance(in_body, str) and in_body:
        command = to_text(in_body)
    else:
        raise Malformed("the body's CallbackCommand is not a string, or is empty")
    if len(command.encode()) > COMMAND_BYTES_MAX:
        raise Malformed(f"CallbackCommand is longer than {COMMAND_BYTES_MAX} bytes")
    if in_url and in_url != command:
        raise Malformed(
            f"CallbackCommand is {in_url!r:.100} in the URL, {command!r:.100} in the body"
        )
    return command


def _headers(callback: ReceivedCallback, command: str, identity: str) -> Headers:
    before_time, after_time = _shared_headers(callback.sdkappid, command)
    # The id comes first, because `with_place_and_id` searches from the beginning.
    headers = [(ID, identity.encode())] if identity else []
    headers += before_time
    headers.append(("ce_time", _rfc3339(callback.received_at_ms)))
    headers += after_time
    if callback.client_ip:
        headers.append(("ce_clientip", callback.client_ip.encode()))
    if callback.opt_platform:
        headers.append(("ce_optplatform", callback.opt_platform.encode()))
    return headers


# Few apps and commands occur. An entry has less than 2 KiB, because a command is short.
@functools.lru_cache(maxsize=64)
def _shared_headers(sdkappid: str, command: str) -> tuple[Headers, Headers]:
    """Return the headers before the time and after it that all callbacks of a command share."""
    app = sdkappid.encode()
    before = [("ce_specversion", b"1.0"), ("ce_source", b"/tim/" + app)]
    before.append(("ce_type", command.encode()))
    return before, [("content-type", b"application/json"), ("ce_sdkappid", app)]


def _short(command: str) -> str:
    return command.encode()[:COMMAND_BYTES_MAX].decode(errors="ignore")


# Under load, several callbacks arrive in one millisecond.
@functools.lru_cache(maxsize=64)
def _rfc3339(at_ms: int) -> bytes:
    seconds, ms = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03}Z".encode()
