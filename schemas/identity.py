"""
Compute the `ce_id` of a callback.

If a request carries a time or names its message, the id depends on the request only: a repeated
request has the same. Otherwise the id is made of the place, so a repeat has another.

The rules for each command are in schemas/commands.py.
"""

import codecs
import contextlib
import functools
import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from schemas.body import LenientObject, Malformed, parse, to_text
from schemas.commands import COMMANDS, UNKNOWN, VOLATILE, Command

_SORTED = orjson.OPT_SORT_KEYS
_PLUS = ord("+")
# This is `b"e-" in written`: to look for the rare minus first is faster.
_NEGATIVE_EXPONENT = re.compile(b"-(?<=e-)")


class IdentifyingParts(msgspec.Struct, frozen=True, gc=False):
    """The parts that identify a callback: its command, parameters of the URL, its body."""

    sdkappid: str
    command: str
    client_ip: str
    opt_platform: str
    body: bytes


def callback_id(parts: IdentifyingParts, document: Mapping[str, Any]) -> str:
    """
    Return the id of the event that a request reports, equal if the request is repeated, or "".

    It is "" if the callback neither names its message nor carries its time; else the first 128
    bits, in hex, of the SHA-256 of the bytes that `_identifying` returns. `document` is the body as
    a JSON object.
    """
    rule = COMMANDS.get(parts.command, UNKNOWN)
    identifies_message = rule.identity == "key" and _identifies_message(document)
    if not identifies_message and not _carries_time(rule, document):
        return ""
    return _digest(_identifying(parts, document, by_message=identifies_message))


def content_digest(parts: IdentifyingParts, parsed: Mapping[str, Any] | None = None) -> bytes:
    """
    Return the digest (16 bytes) of the content that all records with one `ce_id` have in common.

    Two records with one `ce_id` and different digests are different callbacks under one id, which
    is a fault. Records of one message whose bodies differ only in VOLATILE fields are repeats, with
    one digest. `parts` has the record's headers ce_sdkappid, ce_type, ce_clientip and
    ce_optplatform, "" for an absent one, and its value, which may be any bytes. `parsed` is the
    value as a JSON object, if the caller has parsed it.
    """
    document: Mapping[str, Any] = {}
    # If the whole request identifies the callback, the bytes of the body count: no need to parse.
    if COMMANDS.get(parts.command, UNKNOWN).identity == "key":
        if parsed is not None:
            document = parsed
        else:
            with contextlib.suppress(Malformed):
                document = parse(parts.body)
    identifies_message = _identifies_message(document)
    return bytes.fromhex(_digest(_identifying(parts, document, by_message=identifies_message)))


def place_id(origin: str, sequence: int) -> str:
    """Return the `ce_id` of a callback without an identity: it names the place of storage."""
    return _digest(f"place {origin} {sequence}".encode())


def message_random(document: Mapping[str, Any]) -> str:
    """Return a message's random number as text: MsgRandom, or Random in groups, or ""."""
    return to_text(document.get("MsgRandom")) or to_text(document.get("Random"))


def _identifying(
    parts: IdentifyingParts, document: Mapping[str, Any], *, by_message: bool
) -> bytes:
    """
    Return bytes that are equal only for two callbacks of the same event.

    With `by_message`: SdkAppid, CallbackCommand and the document without VOLATILE fields, as JSON
    with sorted keys and without blanks. Otherwise: SdkAppid, CallbackCommand, ClientIP, OptPlatform
    and the body, byte for byte. The lengths come before the texts, so that two different lists of
    texts never give the same bytes.
    """
    app, command = parts.sdkappid, parts.command
    if by_message:
        stable = dict(document)
        for field in VOLATILE:
            stable.pop(field, None)
        try:
            written = orjson.dumps(stable, option=_SORTED)
        except orjson.JSONEncodeError:
            pass  # Lone surrogates, or nested too deeply for orjson: the whole request counts.
        else:
            if _is_exact(written, parts.body, document):
                return _message_head(app, command) + written
    ip, platform = parts.client_ip, parts.opt_platform
    lengths = f"{len(app)} {len(command)} {len(ip)} {len(platform)}"
    return f"event {lengths} {app}{command}{ip}{platform}".encode() + parts.body


def _is_exact(written: bytes, body: bytes, document: Mapping[str, Any]) -> bool:
    """Return whether parsing lost no digit of any number in the body."""
    # orjson writes every double with a point or an exponent; it writes the infinity of a
    # LenientObject as null. The name of every command has points, too.
    points = str(document.get("CallbackCommand")).count(".")
    may_have_doubles = (
        written.count(b".") > points
        or _PLUS in written
        or _NEGATIVE_EXPONENT.search(written) is not None
    )
    if not may_have_doubles and not isinstance(document, LenientObject):
        return True
    try:
        # orjson turns long integers into doubles. Python compares an integer with a double exactly.
        return bool(_EXACT.decode(body.removeprefix(codecs.BOM_UTF8)) == document)
    except msgspec.DecodeError:
        return False


def _exact(number: str) -> float | None:
    """Return the double of a JSON number, None if parsing as a double may lose digits."""
    double = float(number)
    # At most 15 digits, and in range: no two such numbers have the same double.
    if len(number) <= 16 and "e" not in number.lower():
        return double
    try:
        return double if Decimal(number) == Decimal(repr(double)) else None
    except ArithmeticError:
        return None  # an exponent of too many digits


_EXACT = msgspec.json.Decoder(float_hook=_exact)


# Few apps and commands occur, and most messages are of one command.
@functools.lru_cache(maxsize=64)
def _message_head(app: str, command: str) -> bytes:
    return f"message {len(app)} {len(command)} {app}{command}".encode()


def _identifies_message(document: Mapping[str, Any]) -> bool:
    """Return whether the fields of a body identify one message."""
    key = document.get("MsgKey")
    # Without MsgSeq and the random number, a MsgKey is only a time.
    if isinstance(key, str) and key.strip("0_") and not key.startswith("0_0_"):
        return True
    random = document.get("MsgRandom") or document.get("Random")
    return all(map(_is_positive, (document.get("MsgSeq"), random, document.get("MsgTime"))))


def _carries_time(rule: Command, document: Mapping[str, Any]) -> bool:
    if _is_positive(document.get("EventTime")):
        return True
    if any(_is_positive(document.get(time)) for time in rule.times):
        return True
    events = document.get("Events")
    return (
        isinstance(events, list)
        and bool(events)
        and all(isinstance(item, dict) and _is_positive(item.get("EventTime")) for item in events)
    )


def _is_positive(value: Any) -> bool:
    """Return whether a field is a number above 0, or its decimal text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and bool(value.strip("0"))
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _digest(identifying: bytes) -> str:
    return hashlib.sha256(identifying).hexdigest()[:32]
