"""
The identity of a callback: its parties, the record's key and its `ce_id`.

All three are functions of the request, so a repeated request gets the same key and id. The rules
for each command are in schemas/commands.py.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from schemas.body import Malformed, parse, text
from schemas.commands import COMMANDS, UNKNOWN, VOLATILE

# A key goes into every record beside the body; accounts may be as long as the body allows.
KEY_BYTES_MAX = 512

# Where the parties are, besides From_Account, To_Account, GroupId and Official_Account, in the
# order of preference. `[]`: a list, which counts if all of its entries have the same party.
_SENDERS = (
    "Report_Account",
    "Requester_Account",
    "Requestor_Account",
    "GiftWater.From_Account",
    "PairList[].From_Account",
    "Events[].From_Account",
    "Operator_Account",
    "Owner_Account",
)
_RECIPIENTS = (
    "Peer_Account",
    "Info.To_Account",
    "ContactItem.To_Account",
    "GiftWater.To_Account",
    "PairList[].To_Account",
    "FriendItem[].To_Account",
    "ResponseFriendItem[].To_Account",
    "FollowList[].To_Account",
    "Events[].To_Account",
    "NewOwner_Account",
)
# A live room is a group: the messages in it come as Group.CallbackAfterSendMsg with its GroupId.
_GROUPS = (
    "RoomId",
    "ContactItem.ToGroupId",
    "Events[].GroupId",
    "FromRoomId",
    "FromRoomInfo.RoomId",
)
Path = tuple[str, str, bool]


def _paths(names: tuple[str, ...]) -> tuple[Path, ...]:
    split = [name.partition(".") for name in names]
    return tuple((outer.removesuffix("[]"), inner, "[]" in outer) for outer, _, inner in split)


_SENDER_PATHS, _RECIPIENT_PATHS, _GROUP_PATHS = map(_paths, (_SENDERS, _RECIPIENTS, _GROUPS))
# Most callbacks have none of these.
_RARE = {
    "Official_Account",
    *(outer for outer, _, _ in _SENDER_PATHS + _RECIPIENT_PATHS + _GROUP_PATHS),
}


class Parties(NamedTuple):
    """The parties of a callback, "" where there is none. `channel`: an official account."""

    sender: str
    recipient: str
    group: str
    channel: str


def parties(document: Mapping[str, Any]) -> Parties:
    """
    Find the parties of any command.

    An official account is the sender where nobody else is, else the recipient.
    """
    sender = text(document.get("From_Account"))
    recipient = _party(document.get("To_Account"))
    group = text(document.get("GroupId"))
    if _RARE.isdisjoint(document):
        return Parties(sender, recipient, group, "")
    channel = text(document.get("Official_Account"))
    sender = sender or _first(document, _SENDER_PATHS) or channel
    recipient = recipient or _first(document, _RECIPIENT_PATHS)
    if not recipient and channel != sender:
        recipient = channel
    return Parties(sender, recipient, group or _first(document, _GROUP_PATHS), channel)


def record_key(sdkappid: str, command: str, who: Parties) -> bytes | None:
    """
    Return the Kafka key that keeps one conversation or account in one partition, in order.

    None where there are no parties. Opaque to readers: the app, the kind of the key and the
    parties; above KEY_BYTES_MAX their digest. Keys of two kinds are never equal.
    """
    sender, recipient, group, channel = who
    if COMMANDS.get(command, UNKNOWN).order == "account":
        members = f"account/{sender or recipient or group or channel}"
    elif group:
        members = f"group/{group}"
    elif channel:
        members = f"channel/{channel}"
    elif sender and recipient:
        first, second = (sender, recipient) if sender <= recipient else (recipient, sender)
        # The length keeps ("a/b", "c") and ("a", "b/c") apart.
        members = f"pair/{len(first)}/{first}/{second}"
    else:
        members = f"account/{sender or recipient}"
    if members == "account/":
        return None
    key = f"{sdkappid}/{members}".encode()
    return key if len(key) <= KEY_BYTES_MAX else f"{sdkappid}/digest/{_digest(key)}".encode()


class Request(NamedTuple):
    """What identifies a callback: its command, the URL's distinguishing parameters, its body."""

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
    named = _names_message(request.command, document)
    if not named and not _carries_time(request.command, document):
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
    try:
        document = parse(request.body)
    except Malformed:
        document = {}
    named = _names_message(request.command, document)
    return bytes.fromhex(_digest(_identifying(request, document, named=named)))


def place_id(origin: str, sequence: int) -> str:
    """Return the `ce_id` of a callback that carries no identity of its own: where it was stored."""
    return _digest(f"place {origin} {sequence}".encode())


def message_random(document: Mapping[str, Any]) -> str:
    """Return a message's random number as text: MsgRandom, in groups Random; "" without any."""
    return text(document.get("MsgRandom")) or text(document.get("Random"))


def _identifying(request: Request, document: Mapping[str, Any], *, named: bool) -> bytes:
    """
    Return what tells a callback from all others, as bytes of which none are equal by accident.

    Of a message that is named: SdkAppid, CallbackCommand and the document without VOLATILE, as
    JSON with sorted keys and without blanks. Of all else: SdkAppid, CallbackCommand, ClientIP,
    OptPlatform and the body, byte for byte. Lengths before the texts keep them apart.
    """
    app, command, ip, platform, body = request
    if named:
        stable = dict(document)
        for field in VOLATILE:
            stable.pop(field, None)
        try:
            content = orjson.dumps(stable, option=orjson.OPT_SORT_KEYS)
            return f"message {len(app)} {len(command)} {app}{command}".encode() + content
        except orjson.JSONEncodeError:
            # Lone surrogates, or nested deeper than orjson writes: the whole request counts.
            pass
    lengths = f"{len(app)} {len(command)} {len(ip)} {len(platform)}"
    return f"event {lengths} {app}{command}{ip}{platform}".encode() + body


def _names_message(command: str, document: Mapping[str, Any]) -> bool:
    if COMMANDS.get(command, UNKNOWN).identity != "message":
        return False
    key = document.get("MsgKey")
    # "0_0_0" is the key of no message.
    if isinstance(key, str) and key.strip("0_"):
        return True
    random = document.get("MsgRandom") or document.get("Random")
    return all(map(_is_positive, (document.get("MsgSeq"), random, document.get("MsgTime"))))


def _carries_time(command: str, document: Mapping[str, Any]) -> bool:
    if _is_positive(document.get("EventTime")):
        return True
    if any(_is_positive(document.get(t)) for t in COMMANDS.get(command, UNKNOWN).times):
        return True
    events = document.get("Events")
    return (
        isinstance(events, list)
        and bool(events)
        and all(isinstance(each, dict) and _is_positive(each.get("EventTime")) for each in events)
    )


def _is_positive(value: Any) -> bool:
    """Tell whether a field is a number above 0, or its decimal text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and bool(value.strip("0"))
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _first(document: Mapping[str, Any], paths: tuple[Path, ...]) -> str:
    for outer, inner, is_list in paths:
        value = document.get(outer)
        if value is None:
            continue
        if is_list:
            value = [each.get(inner) if isinstance(each, dict) else None for each in _list(value)]
        elif inner:
            value = value.get(inner) if isinstance(value, dict) else None
        if party := _party(value):
            return party
    return ""


def _party(value: Any) -> str:
    """Return the one party in a field that holds one, or a list of the same one; else ""."""
    if isinstance(value, list):
        names = {text(each) for each in value}
        return names.pop() if len(names) == 1 else ""
    return text(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _digest(identifying: bytes) -> str:
    return hashlib.sha256(identifying).hexdigest()[:32]
