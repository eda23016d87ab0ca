"""
Who talks to whom, and what happened: the record's key and its `ce_id`.

Both are functions of what the sender sent, so a repeated request gets the same key and id.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.body import text

# A key goes into every record beside the body; accounts may be as long as the body allows.
KEY_BYTES_MAX = 512
_ACCOUNTS = (("From_Account", "To_Account"), ("Report_Account", "Peer_Account"))


class Parties(NamedTuple):
    """The accounts of a callback, "" where there is none."""

    sender: str
    recipient: str
    group: str


def parties(document: Mapping[str, Any]) -> Parties:
    """
    Find the accounts of any command (protocol §1, §5).

    From_Account and To_Account, else Report_Account and Peer_Account, else Info.To_Account alone.
    """
    group = text(document.get("GroupId"))
    for sender_field, recipient_field in _ACCOUNTS:
        sender, recipient = text(document.get(sender_field)), text(document.get(recipient_field))
        if sender or recipient:
            return Parties(sender, recipient, group)
    info = document.get("Info")
    return Parties("", text(info.get("To_Account")) if isinstance(info, dict) else "", group)


def conversation_key(sdkappid: str, who: Parties) -> bytes | None:
    """
    Return the Kafka key that keeps one conversation in one partition, in order.

    The app and the group, else the app and both accounts sorted, else the app and the one account
    that there is, else None. Opaque to readers: above KEY_BYTES_MAX it is the digest of that.
    """
    sender, recipient, group = who
    if group:
        members = group
    elif sender and recipient:
        members = f"{sender}/{recipient}" if sender <= recipient else f"{recipient}/{sender}"
    else:
        members = sender or recipient
    if not members:
        return None
    key = f"{sdkappid}/{members}".encode()
    return key if len(key) <= KEY_BYTES_MAX else f"{sdkappid}/{_digest(key)}".encode()


def callback_id(
    sdkappid: str, command: str, who: Parties, document: Mapping[str, Any], body: bytes
) -> str:
    """
    Return the identity of what happened, the same when the request is repeated; "" if it has none.

    The first 128 bits, in hex, of SHA-256 over length-prefixed parts: SdkAppid, CallbackCommand,
    sender, GroupId or recipient, and MsgKey or else MsgSeq, MsgRandom (Random in groups) and
    MsgTime; for callbacks without these but with EventTime: SdkAppid, CallbackCommand and the body.
    """
    occasion = (sdkappid.encode(), command.encode())
    message = _message(document)
    if message:
        chat = (who.sender.encode(), (who.group or who.recipient).encode())
        return _digest(*occasion, *chat, *message)
    if text(document.get("EventTime")):
        return _digest(*occasion, body)
    return ""


def place_id(origin: str, sequence: int) -> str:
    """Return the `ce_id` of a callback that carries no identity of its own: where it was stored."""
    return _digest(origin.encode(), str(sequence).encode())


def message_random(document: Mapping[str, Any]) -> str:
    """Return a message's random number as text: MsgRandom, in groups Random; "" without any."""
    return text(document.get("MsgRandom")) or text(document.get("Random"))


def _message(document: Mapping[str, Any]) -> tuple[bytes, ...]:
    if key := text(document.get("MsgKey")):
        return (key.encode(),)
    numbers = (
        text(document.get("MsgSeq")),
        message_random(document),
        text(document.get("MsgTime")),
    )
    return tuple(number.encode() for number in numbers) if all(numbers) else ()


def _digest(*parts: bytes) -> str:
    # Length prefixes keep ("ab", "c") and ("a", "bc") apart.
    prefixed = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return hashlib.sha256(prefixed).hexdigest()[:32]
