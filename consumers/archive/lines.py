"""Records as JSON Lines: each record is one valid line, from which its value can be read back."""

import base64
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import orjson

from consumers.archive.segment import bounds
from consumers.runtime.batch import Partition, Record
from schemas.callback_record import origin_text, sequence_number
from schemas.outgoing_record import ORIGIN, SEQUENCE

# orjson reads 1024 levels; a body with fewer brackets cannot be deeper.
BRACKETS_MAX = 1000

# Checks a JSON text without building its values.
_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Lines(NamedTuple):
    """Lines, each with its line feed, and the lowest and highest sequence of each origin."""

    text: bytes
    origins: Mapping[str, tuple[int, int]]


def to_lines(partition: Partition, records: Sequence[Record]) -> Lines:
    """Return a line for each record."""
    head = b'{"topic":%b,"partition":%d,' % (orjson.dumps(partition.topic), partition.number)
    embeds = _embeds([record.value for record in records])
    key_and_header_values = [
        [record.key, *[value for _, value in record.headers]] for record in records
    ]
    forms = _forms(head, [record.headers for record in records])
    line_list: list[bytes] = []
    sequences: defaultdict[bytes | None, list[bytes | None]] = defaultdict(list)
    for record, form, embedded, values, plain in zip(
        records,
        forms,
        embeds,
        key_and_header_values,
        _plain(key_and_header_values),
        strict=True,
    ):
        if form.template and embedded and plain:
            line_list.append(
                form.template % (record.offset, record.timestamp_ms, *values, record.value)
            )
            sequences[values[form.origin_at]].append(values[form.sequence_at])
        else:
            line_list.append(_line(head, record, embeds=embedded))
            by_name = dict(record.headers)
            sequences[by_name.get(ORIGIN)].append(by_name.get(SEQUENCE))
    origins = [
        (origin_text(origin), list(map(sequence_number, each)))
        for origin, each in sequences.items()
    ]
    return Lines(
        b"".join(line_list), bounds((origin, (min(each), max(each))) for origin, each in origins)
    )


class _Form(NamedTuple):
    """
    The template of the lines of records whose headers have the same names, for bytes formatting.

    Its values: offset, timestamp, key, the values of all headers, body. It is empty if lines cannot
    be made in this way: a name appears twice, or the headers of origin and sequence are missing.
    `origin_at`, `sequence_at`: their indexes in the list of the key and the headers' values.
    """

    template: bytes
    origin_at: int = 0
    sequence_at: int = 0


def _forms(head: bytes, headers: Sequence[Sequence[tuple[str, bytes]]]) -> Sequence[_Form]:
    """Return the form of each record's line."""
    # Mostly, all records have the same names.
    first_names = [name for name, _ in headers[0]]
    if {len(of_record) for of_record in headers} == {len(first_names)} and [
        name for of_record in headers for name, _ in of_record
    ] == first_names * len(headers):
        return [_form(head, first_names)] * len(headers)
    all_names = [tuple([name for name, _ in of_record]) for of_record in headers]
    forms = {names: _form(head, names) for names in set(all_names)}
    return [forms[names] for names in all_names]


def _form(head: bytes, names: Sequence[str]) -> _Form:
    if len(set(names)) < len(names) or not {ORIGIN, SEQUENCE} <= set(names):
        return _Form(b"")
    # A percent sign in the topic or in a name stands for itself.
    headers = b",".join(b'%b:"%%b"' % _doubled(orjson.dumps(name)) for name in names)
    template = b'%b"offset":%%d,"timestamp":%%d,"key":"%%b","headers":{%b},"body":%%b}\n' % (
        _doubled(head),
        headers,
    )
    return _Form(template, 1 + names.index(ORIGIN), 1 + names.index(SEQUENCE))


def _doubled(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def _line(head: bytes, record: Record, *, embeds: bool) -> bytes:
    """Return the line of any record."""
    return b'%b"offset":%d,"timestamp":%d,%b,"headers":%b,%b}\n' % (
        head,
        record.offset,
        record.timestamp_ms,
        _key(record.key),
        orjson.dumps(_header_texts(record.headers)),
        b'"body":%b' % record.value
        if embeds
        else b'"body_base64":"%b"' % base64.b64encode(record.value),
    )


def _plain(texts: Sequence[Sequence[bytes | None]]) -> Sequence[bool]:
    """Return for each list of texts whether JSON strings may have all of them as they are."""
    # One check for all texts: a check of each would take longer than to make a line.
    if _are_plain(itertools.chain.from_iterable(texts)):
        return [True] * len(texts)
    return [_are_plain(each) for each in texts]


def _are_plain(texts: Iterable[bytes | None]) -> bool:
    try:
        text = b"".join(texts)  # type: ignore[arg-type]
    except TypeError:  # a text is missing
        return False
    return text.isascii() and len(orjson.dumps(text.decode())) == len(text) + len('""')


def _embeds(bodies: Sequence[bytes]) -> Sequence[bool]:
    """Return for each body whether it is part of its line unchanged."""
    # The check of all bodies together takes a third of the time.
    if _are_embeddable_objects(bodies):
        return [True] * len(bodies)
    return [_is_embeddable(body) for body in bodies]


def _are_embeddable_objects(bodies: Sequence[bytes]) -> bool:
    text = b"".join(bodies)
    if b"\n" in text or b"\r" in text or not _is_utf8(text):
        return False
    return all(body[:1] == b"{" and body[-1:] == b"}" and _is_json(body) for body in bodies)


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


def _header_texts(headers: Sequence[tuple[str, bytes]]) -> Mapping[str, str | None]:
    try:
        return {header: value.decode() for header, value in headers}
    except (AttributeError, UnicodeDecodeError):
        # Hookline's own headers are UTF-8. Those of another producer are escaped, or null.
        return {
            header: value.decode("utf-8", "backslashreplace") if value is not None else None
            for header, value in headers
        }
