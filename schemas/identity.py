"""
The `ce_id` of a callback: a function of the request, so a repeated request gets the same one.

The rules for each command are in schemas/commands.py.
"""

import codecs
import contextlib
import functools
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from schemas.body import Malformed, SecondLook, parse, text
from schemas.commands import COMMANDS, UNKNOWN, VOLATILE, Command

_SORTED = orjson.OPT_SORT_KEYS


class Request(msgspec.Struct, frozen=True, gc=False):
    """The parts that identify a callback: its command, parameters of the URL, its body."""

    sdkappid: str
    command: str
    client_ip: str
    opt_platform: str
    body: bytes


def callback_id(request: Request, document: Mapping[str, Any]) -> str:
    """
    Return the identity of what happened, the same when the request is repeated; "" if it has none.

    A callback has none if it does not carry its time. The others: the first 128 bits, in hex, of
    the SHA-256 of what `_identifying` returns. `document` is the body as a JSON object.
    """
    rule = COMMANDS.get(request.command, UNKNOWN)
    named = rule.identity == "message" and _is_named(document)
    if not named and not _carries_time(rule, document):
        return ""
    return _digest(_identifying(request, document, named=named))


def content_digest(request: Request) -> bytes:
    """
    Return the digest of what all records with one `ce_id` must have in common (16 bytes).

    Two records with one `ce_id` and different digests are different callbacks under one id, a
    fault. Records of one message whose bodies differ in nothing but the VOLATILE fields have one
    digest: they are repeats. A `request` is made of the record's headers ce_sdkappid, ce_type,
    ce_clientip and ce_optplatform, "" where one is absent, and its value, which may be any bytes.
    """
    document: Mapping[str, Any] = {}
    # Of an event the bytes count, not what they say.
    if COMMANDS.get(request.command, UNKNOWN).identity == "message":
        with contextlib.suppress(Malformed):
            document = parse(request.body)
    named = _is_named(document)
    return bytes.fromhex(_digest(_identifying(request, document, named=named)))


def place_id(origin: str, sequence: int) -> str:
    """Return the `ce_id` of a callback that carries no identity of its own: where it was stored."""
    return _digest(f"place {origin} {sequence}".encode())


def message_random(document: Mapping[str, Any]) -> str:
    """Return a message's random number as text: MsgRandom, in groups Random; "" without any."""
    return text(document.get("MsgRandom")) or text(document.get("Random"))


def _identifying(request: Request, document: Mapping[str, Any], *, named: bool) -> bytes:
    """
    Return bytes that are equal only for two callbacks of the same event.

    Of a message that is named: SdkAppid, CallbackCommand and the document without VOLATILE, as
    JSON with sorted keys and without blanks. Of all else: SdkAppid, CallbackCommand, ClientIP,
    OptPlatform and the body, byte for byte. The lengths come before the texts, so that no two
    splits give the same bytes.
    """
    app, command = request.sdkappid, request.command
    if named:
        stable = dict(document)
        for field in VOLATILE:
            stable.pop(field, None)
        try:
            written = orjson.dumps(stable, option=_SORTED)
        except orjson.JSONEncodeError:
            pass  # lone surrogates, or nested deeper than orjson writes: the whole request counts
        else:
            if _is_exact(written, request.body, document):
                return _message_head(app, command) + written
    ip, platform = request.client_ip, request.opt_platform
    lengths = f"{len(app)} {len(command)} {len(ip)} {len(platform)}"
    return f"event {lengths} {app}{command}{ip}{platform}".encode() + request.body


def _is_exact(written: bytes, body: bytes, document: Mapping[str, Any]) -> bool:
    """Return whether every number in the body has a double or 64-bit integer of its own."""
    # orjson writes every double with one of these; it writes a SecondLook's infinity as null.
    # Every command has a point of its own.
    points = str(document.get("CallbackCommand")).count(".")
    may_have_doubles = written.count(b".") > points or b"+" in written or b"e-" in written
    if not may_have_doubles and not isinstance(document, SecondLook):
        return True
    try:
        # Integers compare exactly with the doubles that orjson makes of long ones.
        return bool(_EXACT.decode(body.removeprefix(codecs.BOM_UTF8)) == document)
    except msgspec.DecodeError:
        return False


def _exact(number: str) -> float | None:
    """Return the double of a JSON number, None if others with the same double are as short."""
    double = float(number)
    # 15 digits at most, and in range: no two such numbers have one double.
    if len(number) <= 16 and "e" not in number.lower():
        return double
    try:
        return double if Decimal(number) == Decimal(repr(double)) else None
    except ArithmeticError:
        return None  # an exponent of too many digits


_EXACT = msgspec.json.Decoder(float_hook=_exact)


# Few apps and commands occur: most messages are of one command.
@functools.lru_cache(maxsize=64)
def _message_head(app: str, command: str) -> bytes:
    return f"message {len(app)} {len(command)} {app}{command}".encode()


def _is_named(document: Mapping[str, Any]) -> bool:
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
        and all(isinstance(each, dict) and _is_positive(each.get("EventTime")) for each in events)
    )


def _is_positive(value: Any) -> bool:
    """Return whether a field is a number above 0, or its decimal text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and bool(value.strip("0"))
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _digest(identifying: bytes) -> str:
    return hashlib.sha256(identifying).hexdigest()[:32]
