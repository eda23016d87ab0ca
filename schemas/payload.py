"""
Typed views of the bodies of five commands, for consumers.

They accept unknown fields; only the four fields of the protocol's first version must be present.
Code that stores or forwards a callback does not use them: it passes the bytes of the body on.
"""

from typing import Annotated, Any, ClassVar

import msgspec

UInt32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
EventTime = int | str


class Element(msgspec.Struct, frozen=True):
    """One piece of a message. New kinds may appear; `content` depends on the `kind`."""

    kind: str = msgspec.field(name="MsgType")
    content: dict[str, Any] = msgspec.field(name="MsgContent", default_factory=dict)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """C2C.CallbackAfterSendMsg: a one-to-one message, delivered or not."""

    COMMAND: ClassVar[str] = "C2C.CallbackAfterSendMsg"

    command: str = msgspec.field(name="CallbackCommand")
    sender: str = msgspec.field(name="From_Account")
    recipient: str = msgspec.field(name="To_Account")
    elements: list[Element] = msgspec.field(name="MsgBody")
    sequence: UInt32 | None = msgspec.field(name="MsgSeq", default=None)
    random: UInt32 | None = msgspec.field(name="MsgRandom", default=None)
    sent_at_s: int | None = msgspec.field(name="MsgTime", default=None)
    key: str | None = msgspec.field(name="MsgKey", default=None)
    client_id: str | None = msgspec.field(name="MsgId", default=None)
    online_only: int | None = msgspec.field(name="OnlineOnlyFlag", default=None)
    result: int | None = msgspec.field(name="SendMsgResult", default=None)
    error: str | None = msgspec.field(name="ErrorInfo", default=None)
    unread: int | None = msgspec.field(name="UnreadMsgNum", default=None)
    custom: str | None = msgspec.field(name="CloudCustomData", default=None)
    event_time: EventTime | None = msgspec.field(name="EventTime", default=None)


class GroupMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Group.CallbackAfterSendMsg: a message to a group; its random number is called Random."""

    COMMAND: ClassVar[str] = "Group.CallbackAfterSendMsg"

    command: str = msgspec.field(name="CallbackCommand")
    group: str = msgspec.field(name="GroupId")
    sender: str = msgspec.field(name="From_Account")
    elements: list[Element] = msgspec.field(name="MsgBody")
    group_type: str | None = msgspec.field(name="Type", default=None)
    operator: str | None = msgspec.field(name="Operator_Account", default=None)
    sequence: UInt32 | None = msgspec.field(name="MsgSeq", default=None)
    random: UInt32 | None = msgspec.field(name="Random", default=None)
    sent_at_s: int | None = msgspec.field(name="MsgTime", default=None)
    online_only: int | None = msgspec.field(name="OnlineOnlyFlag", default=None)
    custom: str | None = msgspec.field(name="CloudCustomData", default=None)
    event_time: EventTime | None = msgspec.field(name="EventTime", default=None)


class StateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The account that went online or offline, and the reason."""

    action: str = msgspec.field(name="Action")
    account: str = msgspec.field(name="To_Account")
    reason: str | None = msgspec.field(name="Reason", default=None)


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """State.StateChange: a user's login, logout or disconnection."""

    COMMAND: ClassVar[str] = "State.StateChange"

    command: str = msgspec.field(name="CallbackCommand")
    info: StateInfo = msgspec.field(name="Info")
    event_time: EventTime | None = msgspec.field(name="EventTime", default=None)


class ReadReport(msgspec.Struct, frozen=True, kw_only=True):
    """C2C.CallbackAfterMsgReport: a user has read a conversation up to a moment."""

    COMMAND: ClassVar[str] = "C2C.CallbackAfterMsgReport"

    command: str = msgspec.field(name="CallbackCommand")
    reader: str = msgspec.field(name="Report_Account")
    peer: str = msgspec.field(name="Peer_Account")
    read_until_s: int | None = msgspec.field(name="LastReadTime", default=None)
    unread: int | None = msgspec.field(name="UnreadMsgNum", default=None)
    event_time: EventTime | None = msgspec.field(name="EventTime", default=None)


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """C2C.CallbackAfterMsgWithDraw: a message was taken back; `key` is that message's MsgKey."""

    COMMAND: ClassVar[str] = "C2C.CallbackAfterMsgWithDraw"

    command: str = msgspec.field(name="CallbackCommand")
    sender: str = msgspec.field(name="From_Account")
    recipient: str = msgspec.field(name="To_Account")
    key: str = msgspec.field(name="MsgKey")
    unread: int | None = msgspec.field(name="UnreadMsgNum", default=None)
    event_time: EventTime | None = msgspec.field(name="EventTime", default=None)


Payload = Message | GroupMessage | StateChange | ReadReport | Withdrawal
PAYLOADS: dict[str, type[Payload]] = {
    payload.COMMAND: payload
    for payload in (Message, GroupMessage, StateChange, ReadReport, Withdrawal)
}
