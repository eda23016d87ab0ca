"""Made-up callbacks that look like an app's: people, conversations, all kinds of elements."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from schemas.message import Statistic, statistic
from schemas.record import ID, ReceivedCallback, callback_record

PLATFORMS = ("iOS", "Android", "Web", "Windows", "Mac", "iPad", "RESTAPI", "Unknown")
UINT32 = (1 << 32) - 1
WORDS = "red packet see you at the station 好的 收到 👍 did you eat yet on my way ¿qué tal?".split()  # noqa: SIM905 - a sentence reads better
LARGE_TEXT_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Request:
    """One callback as the sender makes it, and the identity that it must have in every sink."""

    sdkappid: str
    command: str
    query: str
    body: bytes
    id: str
    statistic: Statistic


def requests(sdkappids: tuple[str, ...], *, users: int, seed: int) -> Iterator[Request]:
    """Yield callbacks without end; the same seed gives the same people and shapes."""
    chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
    kinds: tuple[tuple[Callable[[random.Random, int], dict[str, Any]], int], ...] = (
        (_c2c_message, 70),
        (_group_message, 13),
        (_topic_message, 2),
        (_official_message, 1),
        (_state_change, 6),
        (_read_report, 5),
        (_withdrawal, 2),
        (_extension_change, 1),
    )
    makers = [maker for maker, _ in kinds]
    weights = [weight for _, weight in kinds]
    while True:
        sdkappid = chance.choice(sdkappids)
        document = chance.choices(makers, weights)[0](chance, users)
        command = document["CallbackCommand"]
        platform = chance.choice(PLATFORMS)
        client_ip = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
        query = urlencode(
            {
                "SdkAppid": sdkappid,
                "CallbackCommand": command,
                "contenttype": "json",
                "ClientIP": client_ip,
                "OptPlatform": platform,
            }
        )
        body = orjson.dumps(document)
        yield Request(
            sdkappid,
            command,
            query,
            body,
            _identity(sdkappid, command, client_ip, platform, body),
            statistic(command, platform, document),
        )


def _identity(sdkappid: str, command: str, client_ip: str, opt_platform: str, body: bytes) -> str:
    record = callback_record(
        ReceivedCallback(
            sdkappid=sdkappid,
            command=command,
            client_ip=client_ip,
            opt_platform=opt_platform,
            received_at_ms=0,
            body=body,
        )
    )
    return dict(record.headers)[ID].decode()


def _c2c_message(chance: random.Random, users: int) -> dict[str, Any]:
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
        "MsgBody": _elements(chance),
        "CloudCustomData": chance.choice(("", '{"app":"demo","v":1}')),
        "EventTime": _now_ms(),
    }


def _group_message(chance: random.Random, users: int) -> dict[str, Any]:
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
        "MsgBody": _elements(chance),
        "CloudCustomData": "",
        "EventTime": str(_now_ms()),
    }


def _topic_message(chance: random.Random, users: int) -> dict[str, Any]:
    community = f"@TGS#_{chance.randrange(max(users // 100, 1)):06d}"
    return _group_message(chance, users) | {
        "GroupId": community,
        "TopicId": f"{community}@TOPIC#_{chance.choice(('rules', 'games', 'help'))}",
        "Type": "Community",
    }


def _official_message(chance: random.Random, _: int) -> dict[str, Any]:
    numbers = _numbers(chance)
    # An official account's random number is always 1.
    return {
        "CallbackCommand": "OfficialAccount.CallbackAfterSendMsg",
        "Official_Account": f"@TOA#_{chance.choice(('news', 'shop', 'club'))}",
        "MsgSeq": numbers["MsgSeq"],
        "MsgKey": "{MsgSeq}_1_{MsgTime}".format(**numbers),
        "MsgTime": numbers["MsgTime"],
        "OnlineOnlyFlag": 0,
        "MsgBody": _elements(chance),
        "CloudCustomData": "",
        "EventTime": _now_ms(),
    }


def _extension_change(chance: random.Random, users: int) -> dict[str, Any]:
    sender, recipient = _two_people(chance, users)
    # MsgKey names the message whose extension changes, and a message's may change often.
    version = chance.getrandbits(62)
    return {
        "CallbackCommand": "C2C.CallbackAfterC2CMsgExtension",
        "From_Account": sender,
        "To_Account": recipient,
        "MsgKey": f"{chance.randrange(1, 10)}_77_1764688415",
        "OperateType": 1,
        "ExtensionList": [{"Key": "color", "Value": chance.choice(WORDS), "Seq": version}],
        "Seq": version,
        "EventTime": _now_ms(),
    }


def _state_change(chance: random.Random, users: int) -> dict[str, Any]:
    action, reason = chance.choice(
        (("Login", "Register"), ("Logout", "Unregister"), ("Disconnect", "LinkClose"))
    )
    # A second of EventTime is shared by many; the connection's number keeps bodies apart.
    return {
        "CallbackCommand": "State.StateChange",
        "EventTime": _now_ms(),
        "Info": {"Action": action, "To_Account": _person(chance, users), "Reason": reason},
        "ConnectionId": chance.getrandbits(62),
    }


def _read_report(chance: random.Random, users: int) -> dict[str, Any]:
    reader, peer = _two_people(chance, users)
    return {
        "CallbackCommand": "C2C.CallbackAfterMsgReport",
        "Report_Account": reader,
        "Peer_Account": peer,
        "LastReadTime": _now_ms() // 1000,
        "UnreadMsgNum": 0,
        "EventTime": _now_ms(),
        "ReportId": chance.getrandbits(62),
    }


def _withdrawal(chance: random.Random, users: int) -> dict[str, Any]:
    sender, recipient = _two_people(chance, users)
    numbers = _numbers(chance)
    return {
        "CallbackCommand": "C2C.CallbackAfterMsgWithDraw",
        "From_Account": sender,
        "To_Account": recipient,
        "MsgKey": "{MsgSeq}_{MsgRandom}_{MsgTime}".format(**numbers),
        "UnreadMsgNum": chance.randrange(20),
        "EventTime": _now_ms(),
    }


def _numbers(chance: random.Random) -> dict[str, int]:
    return {
        "MsgSeq": chance.randint(1, UINT32),
        "MsgRandom": chance.randint(1, UINT32),
        "MsgTime": _now_ms() // 1000,
    }


def _person(chance: random.Random, users: int) -> str:
    # Some talk much more than others.
    number = int(users * chance.random() ** 2)
    return f"user{number}" if number % 7 else f"@RBT#{number:03d}"


def _two_people(chance: random.Random, users: int) -> tuple[str, str]:
    sender = _person(chance, users)
    recipient = _person(chance, users)
    return sender, recipient if recipient != sender else "service"


def _elements(chance: random.Random) -> list[dict[str, Any]]:
    makers = (_text, _text, _text, _text, _image, _face, _custom, _sound, _location, _file)
    return [chance.choice(makers)(chance) for _ in range(chance.choice((1, 1, 1, 1, 2, 3)))]


def _element(kind: str, **content: object) -> dict[str, Any]:
    return {"MsgType": kind, "MsgContent": content}


def _text(chance: random.Random) -> dict[str, Any]:
    words = 2000 if chance.random() < LARGE_TEXT_SHARE else chance.randint(1, 12)
    return _element("TIMTextElem", Text=" ".join(chance.choices(WORDS, k=words)))


def _image(chance: random.Random) -> dict[str, Any]:
    sizes = [
        {
            "Type": kind,
            "Size": chance.randrange(1 << 20),
            "Width": 0,
            "Height": 0,
            "URL": _url(chance),
        }
        for kind in (1, 2, 3)
    ]
    return _element("TIMImageElem", UUID=_uuid(chance), ImageFormat=1, ImageInfoArray=sizes)


def _face(chance: random.Random) -> dict[str, Any]:
    return _element("TIMFaceElem", Index=chance.randrange(99), Data="face\u0000\u0001")


def _custom(chance: random.Random) -> dict[str, Any]:
    data = f'{{\n  "userAction" : {chance.randrange(9)}\n}}'
    return _element("TIMCustomElem", Data=data, Desc="", Ext="", Sound="")


def _sound(chance: random.Random) -> dict[str, Any]:
    seconds = chance.randint(1, 60)
    return _element(
        "TIMSoundElem", Url=_url(chance), UUID=_uuid(chance), Size=seconds * 1000, Second=seconds
    )


def _location(chance: random.Random) -> dict[str, Any]:
    return _element(
        "TIMLocationElem",
        Desc="the station",
        Latitude=round(chance.uniform(-90, 90), 6),
        Longitude=round(chance.uniform(-180, 180), 6),
    )


def _file(chance: random.Random) -> dict[str, Any]:
    return _element(
        "TIMFileElem", Url=_url(chance), UUID=_uuid(chance), FileSize=4096, FileName="notes.txt"
    )


def _url(chance: random.Random) -> str:
    return f"https://example.invalid/{chance.getrandbits(64):016x}"


def _uuid(chance: random.Random) -> str:
    return f"{chance.getrandbits(128):032X}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
