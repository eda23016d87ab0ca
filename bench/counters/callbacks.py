"""
Make simulated callbacks for the counters: messages to people and groups, log-ins and log-outs.

All ids differ, each message names two people of a conversation or one of a group, and every person
writes equally often. The times in the bodies advance by a rate, so that the callbacks fill as many
minutes as they would have taken to arrive, however fast the topic is filled. Before them, callbacks
may be spread over the days of a history.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.outgoing_record import ReceivedCallback

APP = "1400000001"
# Callbacks a second, as the times in their bodies say.
RATE = 1000
PLATFORMS = ("iOS", "Android", "Web", "Windows", "Mac", "iPad", "RESTAPI")
# The percentages of callbacks. The rest are log-ins and log-outs.
ONE_TO_ONE, GROUP = 78, 15
UNDELIVERED = 0.02
PEOPLE_PER_GROUP = 10
# The time over which a history is spread.
HISTORY_MS = 30 * 24 * 3600 * 1000
# Coprime to the numbers of conversations, so that all of them take turns in an unsorted order.
STRIDE = 7_368_787

_TEXT = '{"MsgType":"TIMTextElem","MsgContent":{"Text":"red packet, see you at the station"}}'
_IMAGE = (
    '{"MsgType":"TIMImageElem","MsgContent":{"UUID":"7d1e4bce9a1e7d3f","ImageFormat":1,'
    '"ImageInfoArray":[{"Type":1,"Size":1024,"Width":0,"Height":0,"URL":"https://x.invalid/1"}]}}'
)
_FACE = '{"MsgType":"TIMFaceElem","MsgContent":{"Index":1,"Data":"face"}}'
_SOUND = '{"MsgType":"TIMSoundElem","MsgContent":{"Url":"https://x.invalid/2","Size":9,"Second":4}}'
_CUSTOM = '{"MsgType":"TIMCustomElem","MsgContent":{"Data":"{}","Desc":"","Ext":"","Sound":""}}'
# The bodies of messages, each as often as the others.
_ELEMENTS = (*[_TEXT] * 6, _IMAGE, _FACE, f"{_SOUND},{_TEXT}", _CUSTOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """
    The callbacks of one process: each `step`-th of all, from number `first` on.

    `users` people, in pairs that write to each other. The first `history` callbacks are spread over
    HISTORY_MS before `begins_at_ms`, the time of the next one.
    """

    users: int
    begins_at_ms: int
    first: int = 0
    step: int = 1
    history: int = 0

    def at_ms(self, number: int) -> int:
        """Return the time of a callback."""
        if number < self.history:
            return self.begins_at_ms - (self.history - number) * HISTORY_MS // self.history
        return self.begins_at_ms + (number - self.history) * 1000 // RATE


def callbacks(traffic: Traffic) -> Iterator[ReceivedCallback]:
    """Yield callbacks without end; the same traffic is the same callbacks."""
    chance = random.Random(traffic.first)  # noqa: S311 - traffic, not secrets
    number = traffic.first
    while True:
        command, body = _callback(chance, traffic, number)
        at_ms = traffic.at_ms(number)
        yield ReceivedCallback(
            sdkappid=APP,
            url_command=command,
            client_ip="10.0.0.1",
            opt_platform=chance.choice(PLATFORMS),
            received_at_ms=at_ms,
            body=body.encode(),
        )
        number += traffic.step


def _callback(chance: random.Random, traffic: Traffic, number: int) -> tuple[str, str]:
    at_ms = traffic.at_ms(number)
    kind = number % 100
    # Of one-to-one messages this is the number among themselves, so each pair gets its turn.
    turn = number // 100 * ONE_TO_ONE + kind
    pair = turn * STRIDE % max(traffic.users // 2, 1)
    one, other = 2 * pair, (2 * pair + 1) % traffic.users
    if kind < ONE_TO_ONE:
        return "C2C.CallbackAfterSendMsg", _one_to_one(chance, one, other, number, at_ms)
    if kind < ONE_TO_ONE + GROUP:
        return "Group.CallbackAfterSendMsg", _group(chance, one, number, at_ms)
    return "State.StateChange", _state(chance, one, number, at_ms)


def _one_to_one(chance: random.Random, one: int, other: int, number: int, at_ms: int) -> str:
    sender, recipient = (one, other) if chance.getrandbits(1) else (other, one)
    is_undelivered = chance.random() < UNDELIVERED
    at, key = at_ms // 1000, chance.getrandbits(31)
    return (
        f'{{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":"user{sender}",'
        f'"To_Account":"user{recipient}","MsgSeq":{number},"MsgRandom":{key},"MsgTime":{at},'
        f'"MsgKey":"{number}_{key}_{at}","OnlineOnlyFlag":{int(chance.random() < 0.05)},'
        f'"SendMsgResult":{80001 * is_undelivered},"ErrorInfo":"","UnreadMsgNum":1,'
        f'"MsgBody":[{chance.choice(_ELEMENTS)}],"CloudCustomData":"","EventTime":{at_ms}}}'
    )


def _group(chance: random.Random, sender: int, number: int, at_ms: int) -> str:
    return (
        f'{{"CallbackCommand":"Group.CallbackAfterSendMsg",'
        f'"GroupId":"@TGS#{sender // PEOPLE_PER_GROUP}",'
        f'"Type":"Public","From_Account":"user{sender}","Operator_Account":"user{sender}",'
        f'"Random":{chance.getrandbits(31)},"MsgSeq":{number},"MsgTime":{at_ms // 1000},'
        f'"OnlineOnlyFlag":0,"MsgBody":[{chance.choice(_ELEMENTS)}],"CloudCustomData":"",'
        f'"EventTime":{at_ms}}}'
    )


def _state(chance: random.Random, person: int, number: int, at_ms: int) -> str:
    action, reason = chance.choice(
        (("Login", "Register"), ("Logout", "Unregister"), ("Disconnect", "LinkClose"))
    )
    return (
        f'{{"CallbackCommand":"State.StateChange","EventTime":{at_ms},"Info":'
        f'{{"Action":"{action}","To_Account":"user{person}","Reason":"{reason}"}},'
        f'"ConnectionId":{number}}}'
    )
