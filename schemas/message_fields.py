"""The fields of a message's body that decide what it adds to the statistics."""

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.body import DEPTH_MAX, to_text


class ElementKind(msgspec.Struct, gc=False):
    """The type of one element of a message."""

    kind: Any = msgspec.field(name="MsgType", default=None)


class MessageFields(msgspec.Struct, gc=False):
    """
    The fields of a message's body that decide what it adds.

    `decode_message` reads them without making objects of all the others.
    """

    sender: str | None = msgspec.field(name="From_Account", default=None)
    recipient: str | None = msgspec.field(name="To_Account", default=None)
    group: str | None = msgspec.field(name="GroupId", default=None)
    # In groups this is the real sender: the app may send in the name of another account.
    operator: str | None = msgspec.field(name="Operator_Account", default=None)
    online_only: Any = msgspec.field(name="OnlineOnlyFlag", default=None)
    result: Any = msgspec.field(name="SendMsgResult", default=None)
    message_time: Any = msgspec.field(name="MsgTime", default=None)
    event_time: Any = msgspec.field(name="EventTime", default=None)
    elements: list[ElementKind] | None = msgspec.field(name="MsgBody", default=None)


_decode = msgspec.json.Decoder(MessageFields).decode


def decode_message(body: bytes) -> MessageFields | None:
    """
    Return the fields of a body, or None if `schemas.body.parse` must read it.

    The result equals message_fields(parse(body)), but an account or a group that is absent is None
    here and "" there. Bodies that are not UTF-8 or too deep are left to `parse`, because msgspec
    would accept them.
    """
    try:
        if not body.isascii():
            body.decode()
        # A shorter body cannot be deeper: each bracket has one that closes it.
        if len(body) > 2 * DEPTH_MAX and body.count(b"[") + body.count(b"{") > DEPTH_MAX:
            return None
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def message_fields(document: Mapping[str, Any]) -> MessageFields:
    """Return the fields in a parsed body of a message; one of an unusual type counts as absent."""
    elements = document.get("MsgBody")
    if isinstance(elements, list):
        elements = [ElementKind(each.get("MsgType")) for each in elements if isinstance(each, dict)]
    else:
        elements = None
    return MessageFields(
        to_text(document.get("From_Account")),
        to_text(document.get("To_Account")),
        to_text(document.get("GroupId")),
        to_text(document.get("Operator_Account")),
        document.get("OnlineOnlyFlag"),
        document.get("SendMsgResult"),
        document.get("MsgTime"),
        document.get("EventTime"),
        elements,
    )
