"""
Callbacks of every kind that the statistics count, each with what it adds.

This is written from docs/statistics.md alone, and imports nothing of the product.
"""

import http.client
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

DAY_S = 24 * 3600
SENDERS = 8
BATCH = 64
Repeat = Literal["", "at once", "later", "itself"]
REPEATS: tuple[Repeat, ...] = ("at once", "later")
LATER_S = 0.5
TYPES = ("TIMTextElem", "TIMImageElem", "TIMCustomElem", "TIMVideoFileElem", "TIMMadeUpElem")
# As a client writes it, and as it is counted.
PLATFORMS = {"iOS": "iOS", "ANDROID": "Android", "Web": "Web", "": "Unknown", "Symbian": "other"}
# Numbers that are no time, or one that is too long ago or ahead: the time of receipt counts.
MAD_TIMES = (0, -1, "soon", None, 2_556_144_000, 946_684_800_000)
# In these seconds of a minute, a callback that counts at its receipt is sent.
SAFE_SECONDS = range(1, 50)


@dataclass(frozen=True)
class Callback:
    """One callback, and what it adds. `at` is None if it counts at its receipt."""

    app: str
    command: str
    platform: str
    at: int | None
    document: dict[str, Any]
    sums: Counter[str] = field(default_factory=Counter)
    by: dict[str, list[str]] = field(default_factory=dict)
    # Pairs of a figure of people and an account or a group.
    people: tuple[tuple[str, str], ...] = ()
    conversation: tuple[str, ...] = ()
    # Whether it is sent a second time, as by a sender that has lost the answer.
    repeat: Repeat = ""

    def __post_init__(self) -> None:
        """Add what every callback adds."""
        self.sums["callbacks"] = 1
        self.sums["messages"] = self.sums["one_to_one_messages"] + self.sums["group_messages"]
        self.sums["delivered"] = self.sums["messages"] - self.sums["undelivered"]
        self.by["command"] = [self.command if "Unheard" not in self.command else "other"]


def callbacks(chance: random.Random, apps: Sequence[str], *, days: int) -> Iterator[Callback]:
    """Yield callbacks without end, of times from so many days ago to almost a day ahead."""
    number = 0
    while True:
        number += 1
        now = int(time.time())
        # Half of them are of the last hours, so that windows have many callbacks.
        back_s = chance.choice((2 * 3600, days * DAY_S))
        at = now - chance.randrange(back_s) if chance.random() > 0.05 else now + 20 * 3600
        make = chance.choices((_message, _change, _state), (8, 3, 1))[0]
        callback = make(chance, chance.choice(apps), number, at)
        repeat: Repeat = chance.choice(REPEATS) if chance.random() < 0.05 else ""
        yield replace(callback, repeat=repeat)


def _message(chance: random.Random, app: str, number: int, at: int) -> Callback:
    is_group = chance.random() < 0.4
    command = f"{'Group' if is_group else 'C2C'}.CallbackAfterSendMsg"
    sender, source = _sender(chance)
    recipient = chance.choice((f"user{chance.randrange(60)}", "@RBT#9", "administrator"))
    group = f"@TGS#{chance.randrange(20)}"
    platform, counted_as = chance.choice(list(PLATFORMS.items()))
    if source == "by_app" and not is_group:
        platform, counted_as = "restapi", "RESTAPI"
    kinds = chance.choices(TYPES, k=chance.choice((1, 1, 2, 3)))
    document = {
        "From_Account": sender,
        "MsgSeq": number,
        "MsgRandom": chance.randrange(1, 1 << 32),
        "MsgTime": chance.choice((at, str(at))),
        "MsgBody": [{"MsgType": kind, "MsgContent": {}} for kind in kinds],
        "EventTime": 0,
    }
    if is_group:
        operator = "administrator" if source == "by_app" else sender
        document |= {"GroupId": group, "Operator_Account": operator}
    else:
        document["To_Account"] = recipient
    counted_at: int | None = at
    if chance.random() < 0.03:
        document |= {"MsgTime": chance.choice(MAD_TIMES), "MsgKey": f"{number}_7_1"}
        counted_at = None
    if chance.random() < 0.06:
        document["OnlineOnlyFlag"] = chance.choice((1, "1"))
        return Callback(app, command, platform, counted_at, document, Counter(["online_only"]))
    sums = Counter({"group_messages" if is_group else "one_to_one_messages": 1, source: 1})
    if chance.random() < 0.1:
        document["SendMsgResult"] = chance.choice((80001, "20006"))
        sums["undelivered"] += 1
        sums["one_to_one_undelivered"] += not is_group
    return Callback(
        app,
        command,
        platform,
        counted_at,
        document,
        sums,
        {
            "type": sorted({kind if "MadeUp" not in kind else "other" for kind in kinds}),
            "platform": [counted_as],
        },
        (
            *(() if source else _as_sender(sender, is_group=is_group)),
            *([("groups_with_messages", group)] if is_group else _as_recipient(recipient)),
        ),
        (group,) if is_group else tuple(sorted((sender, recipient))),
    )


def _sender(chance: random.Random) -> tuple[str, str]:
    """Return the sender of a message, and the figure of senders who are no people, or ""."""
    source = chance.choices(("", "by_robots", "by_app"), (8, 1, 1))[0]
    is_robot = source == "by_robots"
    return f"@RBT#{chance.randrange(3)}" if is_robot else f"user{chance.randrange(60)}", source


def _as_sender(account: str, *, is_group: bool) -> list[tuple[str, str]]:
    own = "group_senders" if is_group else "one_to_one_senders"
    return [(figure, account) for figure in (own, "senders", "active")]


def _as_recipient(account: str) -> list[tuple[str, str]]:
    is_person = account.startswith("user")
    return [(figure, account) for figure in ("recipients", "active") if is_person]


def _change(chance: random.Random, app: str, number: int, at: int) -> Callback:
    length = chance.choice((0, 1, 3, 1500))
    odd = chance.choice(([{"Member_Account": "a"}] * length, {"a": 1}, "text", None))
    added = min(max(len(odd) if isinstance(odd, list) else 0, 1), 1000)
    command, fields, sums = chance.choice(
        (
            (
                "Group.CallbackAfterNewMemberJoin",
                {"NewMemberList": odd},
                Counter(group_joins=added),
            ),
            ("Group.CallbackAfterMemberExit", {"ExitMemberList": odd}, Counter(group_leaves=added)),
            ("Group.CallbackAfterCreateGroup", {}, Counter(["groups_created"])),
            ("Group.CallbackAfterGroupDestroyed", {}, Counter(["groups_dissolved"])),
            ("Sns.CallbackFriendAdd", {"PairList": odd}, Counter(contacts_added=added)),
            ("Sns.CallbackFriendDelete", {"PairList": odd}, Counter(contacts_removed=added)),
            ("C2C.CallbackAfterMsgReport", {}, Counter()),
            (f"Unheard.Of{chance.randrange(4)}", {}, Counter()),
        )
    )
    document = {**fields, "GroupId": f"@TGS#{chance.randrange(20)}", "RequestId": number}
    return Callback(app, command, "iOS", at, document | {"EventTime": at * 1000}, Counter(sums))


def _state(chance: random.Random, app: str, number: int, at: int) -> Callback:
    person = f"user{chance.randrange(80)}"
    action, reason, sums = chance.choice(
        (
            ("Login", "Register", ("log_ins",)),
            ("Login", "Register", ("log_ins", "registrations")),
            ("Logout", "Unregister", ("log_outs",)),
            ("Disconnect", "LinkClose", ("log_outs",)),
            ("TimeOut", "", ("log_outs",)),
            ("Other", "Register", ()),
        )
    )
    if action == "Login" and len(sums) == 1:
        reason = "Reconnect"
    info = {"Action": action, "Reason": reason, "To_Account": person}
    document = {"Info": info, "EventTime": at * 1000, "RequestId": number}
    people = (("logged_in", person),) if action == "Login" else ()
    return Callback(app, "State.StateChange", "Web", at, document, Counter(sums), {}, people)


def send(made: Iterator[Callback], urls: Sequence[str], *, seconds: float) -> list[Callback]:
    """
    Send callbacks for some seconds; return those that were answered OK, each with its time.

    The messages of a conversation are sent one after the other, to one address, so that it is
    known which is the first of them.
    """
    end = time.monotonic() + seconds
    sent: list[Callback] = []
    again: list[Callback] = []
    connections = [
        http.client.HTTPConnection(urlsplit(urls[at % len(urls)]).netloc, timeout=180)
        for at in range(SENDERS)
    ]
    path = urlsplit(urls[0]).path
    with ThreadPoolExecutor(SENDERS) as pool:
        while again or time.monotonic() < end:
            new = list(itertools.islice(made, BATCH)) if time.monotonic() < end else []
            shares: list[list[Callback]] = [[] for _ in range(SENDERS)]
            for callback in (*again, *new):
                of = random.Random(str((callback.app, callback.conversation)))  # noqa: S311 - a hash that is the same each time
                shares[of.randrange(SENDERS)].append(callback)
            again = [
                replace(callback, repeat="itself") for callback in new if callback.repeat == "later"
            ]
            for done in pool.map(_send_all, connections, [path] * SENDERS, shares):
                sent += [callback for callback in done if callback.repeat != "itself"]
            if again:
                # So that they are in other batches of the counters.
                time.sleep(LATER_S)
    for connection in connections:
        connection.close()
    return sent


def _send_all(
    connection: http.client.HTTPConnection, path: str, share: list[Callback]
) -> list[Callback]:
    return [_send(connection, path, callback) for callback in share]


def _send(connection: http.client.HTTPConnection, path: str, callback: Callback) -> Callback:
    while callback.at is None and int(time.time()) % 60 not in SAFE_SECONDS:
        time.sleep(0.2)
    begun = int(time.time())
    query = {"SdkAppid": callback.app, "CallbackCommand": callback.command}
    if callback.platform:
        query["OptPlatform"] = callback.platform
    body = json.dumps(callback.document | {"CallbackCommand": callback.command})
    for _ in range(2 if callback.repeat == "at once" else 1):
        connection.request("POST", f"{path}?{urlencode(query)}", body)
        answer = json.loads(connection.getresponse().read())
        assert answer["ActionStatus"] == "OK", answer
    ended = int(time.time())
    assert callback.at is not None or begun // 60 == ended // 60, "the answer took too long"
    return replace(callback, at=begun) if callback.at is None else callback
