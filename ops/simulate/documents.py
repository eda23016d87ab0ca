"""Made-up callback documents, as the vendor sends them for each command."""

import random
from typing import Any

from ops.simulate.elements import WORDS, elements
from schemas.clock import now_ms

UINT32 = (1 << 32) - 1


def c2c_message(chance: random.Random, users: int) -> dict[str, Any]:
    """Return a message from one person to another; 2 % are not delivered."""
    sender, recipient = _two_people(chance, users)
    numbers = _numbers(chance)
    delivered = chance.random() > 0.02
    return {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": sender,
        "To_Account": recipient,
        **numbers,
        "MsgKey": "{MsgSeq}_{MsgRandom}_{MsgTime}".format(**numbers),
        "OnlineOnlyFlag": int(chance.random() < 0.05),
        "SendMsgResult": 0 if delivered else 80001,
        "ErrorInfo": "send msg succeed" if delivered else "msg is filtered",
        "UnreadMsgNum": chance.randrange(20) if delivered else -1,
        "MsgBody": elements(chance),
        "CloudCustomData": chance.choice(("", '{"app":"demo","v":1}')),
        "EventTime": now_ms(),
    }


def group_message(chance: random.Random, users: int) -> dict[str, Any]:
    """Return a message to a group."""
    sender, _ = _two_people(chance, users)
    numbers = _numbers(chance)
    return {
        "CallbackCommand": "Group.CallbackAfterSendMsg",
        "GroupId": f"@TGS#{chance.randrange(max(users // 10, 1)):06d}",
        "Type": chance.choice(("Public", "Private", "ChatRoom", "AVChatRoom")),
        "From_Account": sender,
        "Operator_Account": sender,
        "Random": numbers["MsgRandom"],
        "MsgSeq": numbers["MsgSeq"],
        "MsgTime": numbers["MsgTime"],
        "OnlineOnlyFlag": 0,
        "MsgBody": elements(chance),
        "CloudCustomData": "",
        "EventTime": str(now_ms()),
    }


def topic_message(chance: random.Random, users: int) -> dict[str, Any]:
    """Return a message to a topic of a community."""
    community = f"@TGS#_{chance.randrange(max(users // 100, 1)):06d}"
    return group_message(chance, users) | {
        "GroupId": community,
        "TopicId": f"{community}@TOPIC#_{chance.choice(('rules', 'games', 'help'))}",
        "Type": "Community",
    }


def official_message(chance: random.Random, _: int) -> dict[str, Any]:
    """Return a message that an official account published."""
    numbers = _numbers(chance)
    # An official account's random number is always 1.
    return {
        "CallbackCommand": "OfficialAccount.CallbackAfterSendMsg",
        "Official_Account": f"@TOA#_{chance.choice(('news', 'shop', 'club'))}",
        "MsgSeq": numbers["MsgSeq"],
        "MsgKey": "{MsgSeq}_1_{MsgTime}".format(**numbers),
        "MsgTime": numbers["MsgTime"],
        "OnlineOnlyFlag": 0,
        "MsgBody": elements(chance),
        "CloudCustomData": "",
        "EventTime": now_ms(),
    }


def extension_change(chance: random.Random, users: int) -> dict[str, Any]:
    """Return a change of a message's extension."""
    sender, recipient = _two_people(chance, users)
    # MsgKey names the message whose extension changes; an extension may change often.
    version = chance.getrandbits(62)
    return {
        "CallbackCommand": "C2C.CallbackAfterC2CMsgExtension",
        "From_Account": sender,
        "To_Account": recipient,
        "MsgKey": f"{chance.randrange(1, 10)}_77_1764688415",
        "OperateType": 1,
        "ExtensionList": [{"Key": "color", "Value": chance.choice(WORDS), "Seq": version}],
        "Seq": version,
        "EventTime": now_ms(),
    }


def state_change(chance: random.Random, users: int) -> dict[str, Any]:
    """Return a login, a logout or a lost connection."""
    action, reason = chance.choice(
        (("Login", "Register"), ("Logout", "Unregister"), ("Disconnect", "LinkClose"))
    )
    # Many callbacks share a value of EventTime; the connection's number makes bodies different.
    return {
        "CallbackCommand": "State.StateChange",
        "EventTime": now_ms(),
        "Info": {"Action": action, "To_Account": _person(chance, users), "Reason": reason},
        "ConnectionId": chance.getrandbits(62),
    }


def read_report(chance: random.Random, users: int) -> dict[str, Any]:
    """Return a report that a person has read another one's messages."""
    reader, peer = _two_people(chance, users)
    return {
        "CallbackCommand": "C2C.CallbackAfterMsgReport",
        "Report_Account": reader,
        "Peer_Account": peer,
        "LastReadTime": now_ms() // 1000,
        "UnreadMsgNum": 0,
        "EventTime": now_ms(),
        "ReportId": chance.getrandbits(62),
    }


def withdrawal(chance: random.Random, users: int) -> dict[str, Any]:
    """Return the recall of a message."""
    sender, recipient = _two_people(chance, users)
    numbers = _numbers(chance)
    return {
        "CallbackCommand": "C2C.CallbackAfterMsgWithDraw",
        "From_Account": sender,
        "To_Account": recipient,
        "MsgKey": "{MsgSeq}_{MsgRandom}_{MsgTime}".format(**numbers),
        "UnreadMsgNum": chance.randrange(20),
        "EventTime": now_ms(),
    }


def _numbers(chance: random.Random) -> dict[str, int]:
    return {
        "MsgSeq": chance.randint(1, UINT32),
        "MsgRandom": chance.randint(1, UINT32),
        "MsgTime": now_ms() // 1000,
    }


def _person(chance: random.Random, users: int) -> str:
    # Some users send much more than others.
    number = int(users * chance.random() ** 2)
    return f"user{number}" if number % 7 else f"@RBT#{number:03d}"


def _two_people(chance: random.Random, users: int) -> tuple[str, str]:
    sender = _person(chance, users)
    recipient = _person(chance, users)
    return sender, recipient if recipient != sender else "service"
