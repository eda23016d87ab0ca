"""Records as JSON Lines: each record is one valid line, from which its value can be read back."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import orjson

from consumers.runtime.batch import Partition, Record
from schemas.event import place

# orjson reads 1024 levels; a body with fewer brackets cannot be deeper.
BRACKETS_MAX = 1000

# Checks a JSON text without building its values.
_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Lines(NamedTuple):
    """Lines, each with its line feed, and the lowest and highest sequence of each origin."""

    text: bytes
    origins: Mapping[str, tuple[int, int]]


def lines(partition: Partition, records: Sequence[Record]) -> Lines:
    """Return a line for each record. That takes some 3 µs a record, so call it in a thread."""
    head = b'{"topic":%b,"partition":%d,' % (orjson.dumps(partition.topic), partition.number)
    result = _lines(head, records, _is_object)
    # One check for all lines: a check of each body would take longer than everything else.
    if (
        result.text.count(b"\n") != len(records)
        or b"\r" in result.text
        or not _is_utf8(result.text)
    ):
        result = _lines(head, records, _is_embeddable)
    return result


def _lines(head: bytes, records: Sequence[Record], embeds: Callable[[bytes], bool]) -> Lines:
    lines: list[bytes] = []
    origins: dict[str, tuple[int, int]] = {}
    for record in records:
        body = record.value
        lines.append(
            b'%b"offset":%d,"timestamp":%d,%b,"headers":%b,%b}\n'
            % (
                head,
                record.offset,
                record.timestamp_ms,
                _key(record.key),
                orjson.dumps(_texts(record.headers)),
                b'"body":%b' % body
                if embeds(body)
                else b'"body_base64":"%b"' % base64.b64encode(body),
            )
        )
        origin, sequence = place(record.headers)
        low, high = origins.get(origin, (sequence, sequence))
        if not low <= sequence <= high or low == high:
            origins[origin] = (min(low, sequence), max(high, sequence))
    return Lines(b"".join(lines), origins)


def _is_object(body: bytes) -> bool:
    """Return whether `body` is a JSON object, ignoring line breaks and invalid UTF-8."""
    return body[:1] == b"{" and body[-1:] == b"}" and _is_json(body)


def _is_embeddable(body: bytes) -> bool:
    """
    Return whether `body` can be part of a line unchanged, so that readers get each byte back.

    It must be JSON (RFC 8259) without line breaks and without blanks around it, and not so deep
    that the line around it is too deep for its readers.
    """
    if b"\n" in body or b"\r" in body or body.strip(b" \t") != body:
        return False
    return _is_utf8(body) and _is_json(body)


def _is_json(body: bytes) -> bool:
    if len(body) > BRACKETS_MAX and body.count(b"[") + body.count(b"{") > BRACKETS_MAX:
        return False
    try:
        _raw(body)
    except (msgspec.DecodeError, RecursionError):  # before Python 3.12 the caller's depth counts
        return False
    return True


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _key(key: bytes | None) -> bytes:
    if key is None:
        return b'"key":null'
    try:
        return b'"key":%b' % orjson.dumps(key.decode())
    except UnicodeDecodeError:
        return b'"key_base64":"%b"' % base64.b64encode(key)


def _texts(headers: Sequence[tuple[str, bytes]]) -> Mapping[str, str | None]:
    try:
        return {header: value.decode() for header, value in headers}
    except (AttributeError, UnicodeDecodeError):
        # Hookline's own headers are UTF-8. Those of another producer are escaped, or null.
        return {
            header: value.decode("utf-8", "backslashreplace") if value is not None else None
            for header, value in headers
        }
