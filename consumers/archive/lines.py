"""Records as JSON Lines: each record is one valid line, from which its value can be read back."""

import base64
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import orjson

from consumers.runtime.batch import Partition, Record
from schemas.event import place, place_of
from schemas.record import ORIGIN, SEQUENCE

# orjson reads 1024 levels; a body with fewer brackets cannot be deeper.
BRACKETS_MAX = 1000

# Checks a JSON text without building its values.
_raw = msgspec.json.Decoder(msgspec.Raw).decode

# The characters that a JSON string may have as they are. Text with any other one is left to orjson.
_PLAIN = bytes(range(0x20, 0x7F)).translate(None, b'"\\')


class Lines(NamedTuple):
    """Lines, each with its line feed, and the lowest and highest sequence of each origin."""

    text: bytes
    origins: Mapping[str, tuple[int, int]]


def lines(partition: Partition, records: Sequence[Record]) -> Lines:
    """Return a line for each record. That takes some 3 µs a record, so call it in a thread."""
    head = b'{"topic":%b,"partition":%d,' % (orjson.dumps(partition.topic), partition.number)
    lines: list[bytes] = []
    sequences: defaultdict[str, list[int]] = defaultdict(list)
    form = None
    for record, embeds in zip(records, _embeds([r.value for r in records]), strict=True):
        offset, timestamp_ms, key, body, headers = record
        names, values = zip(*headers) if headers else ((), ())  # noqa: B905 - pairs
        # Records that follow one another mostly have the same names.
        if form is None or names != form.names:
            form = _form(head, names)
        if embeds and form.line and _is_plain(key, values):
            lines.append(form.line % (offset, timestamp_ms, key, *values, body))
            origin, sequence = place_of(values[form.origin_at], values[form.sequence_at])
        else:
            lines.append(_line(head, record, embeds=embeds))
            origin, sequence = place(headers)
        sequences[origin].append(sequence)
    return Lines(
        b"".join(lines), {origin: (min(each), max(each)) for origin, each in sequences.items()}
    )


class _Form(NamedTuple):
    """
    The line of records whose headers have these names, for bytes formatting.

    Its values: offset, timestamp, key, the values of all headers, body. It is empty if lines cannot
    be made in this way: a name appears twice, or the headers of origin and sequence are missing.
    """

    names: tuple[str, ...]
    line: bytes
    origin_at: int = 0
    sequence_at: int = 0


def _form(head: bytes, names: tuple[str, ...]) -> _Form:
    if len(set(names)) < len(names) or not {ORIGIN, SEQUENCE} <= set(names):
        return _Form(names, b"")
    # A percent sign in the topic or in a name stands for itself.
    headers = b",".join(b'%b:"%%b"' % _doubled(orjson.dumps(name)) for name in names)
    line = b'%b"offset":%%d,"timestamp":%%d,"key":"%%b","headers":{%b},"body":%%b}\n' % (
        _doubled(head),
        headers,
    )
    return _Form(names, line, names.index(ORIGIN), names.index(SEQUENCE))


def _doubled(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def _line(head: bytes, record: Record, *, embeds: bool) -> bytes:
    """Return the line of any record."""
    return b'%b"offset":%d,"timestamp":%d,%b,"headers":%b,%b}\n' % (
        head,
        record.offset,
        record.timestamp_ms,
        _key(record.key),
        orjson.dumps(_texts(record.headers)),
        b'"body":%b' % record.value
        if embeds
        else b'"body_base64":"%b"' % base64.b64encode(record.value),
    )


def _is_plain(key: bytes | None, values: Iterable[bytes]) -> bool:
    """Return whether key and headers have values, which JSON strings may have as they are."""
    try:
        return not b"".join((key, *values)).translate(None, _PLAIN)  # type: ignore[arg-type]
    except TypeError:
        return False


def _embeds(bodies: Sequence[bytes]) -> Sequence[bool]:
    """Return for each body whether it is part of its line unchanged."""
    embeds = [_is_object(body) for body in bodies]
    # One check for all bodies: a check of each would take longer than everything else.
    objects = b"".join(itertools.compress(bodies, embeds))
    if b"\n" in objects or b"\r" in objects or not _is_utf8(objects):
        embeds = [_is_embeddable(body) for body in bodies]
    return embeds


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
    if text.isascii():
        return True
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
