"""Made-up callback documents of groups that are made and dissolved, their members, and contacts."""

import random
from typing import Any

from schemas.clock import now_ms

MEMBERS_MAX = 5


def group_change(chance: random.Random, users: int) -> dict[str, Any]:
    """Return that a group was created or dissolved, or that members joined or left it."""
    command, fields = chance.choices((_created, _joined, _left, _dissolved), (2, 5, 4, 1))[0](
        chance, users
    )
    return _with_time(
        chance,
        {
            "CallbackCommand": f"Group.{command}",
            "GroupId": f"@TGS#{chance.randrange(max(users // 10, 1)):06d}",
            "Type": chance.choice(("Public", "Private", "ChatRoom", "Community")),
            "Operator_Account": _person(chance, users),
            **fields,
        },
    )


def contact_change(chance: random.Random, users: int) -> dict[str, Any]:
    """Return that a person added contacts, or removed some; both directions are in the list."""
    person = _person(chance, users)
    others = [_person(chance, users) for _ in range(chance.randint(1, 2))]
    pairs = [pair for other in others for pair in ((person, other), (other, person))]
    return _with_time(
        chance,
        {
            "CallbackCommand": chance.choice(("Sns.CallbackFriendAdd", "Sns.CallbackFriendDelete")),
            "PairList": [
                {"From_Account": sender, "To_Account": recipient} for sender, recipient in pairs
            ],
            "ClientCmd": "friend_add",
        },
    )


def _created(chance: random.Random, users: int) -> tuple[str, dict[str, Any]]:
    owner = _person(chance, users)
    fields = {"Owner_Account": owner, "Name": "club", "MemberList": _members(chance, users)}
    return "CallbackAfterCreateGroup", fields


def _joined(chance: random.Random, users: int) -> tuple[str, dict[str, Any]]:
    fields = {"JoinType": "Invited", "NewMemberList": _members(chance, users)}
    return "CallbackAfterNewMemberJoin", fields


def _left(chance: random.Random, users: int) -> tuple[str, dict[str, Any]]:
    fields = {"ExitType": "Quit", "ExitMemberList": _members(chance, users)[:1]}
    return "CallbackAfterMemberExit", fields


def _dissolved(chance: random.Random, users: int) -> tuple[str, dict[str, Any]]:
    owner = _person(chance, users)
    fields = {"Owner_Account": owner, "Name": "club", "MemberList": _members(chance, users)}
    return "CallbackAfterGroupDestroyed", fields


def _members(chance: random.Random, users: int) -> list[dict[str, str]]:
    return [
        {"Member_Account": _person(chance, users)} for _ in range(chance.randint(1, MEMBERS_MAX))
    ]


def _with_time(chance: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    # Many callbacks share a value of EventTime; the request's number makes bodies different.
    return document | {"EventTime": now_ms(), "RequestId": chance.getrandbits(62)}


def _person(chance: random.Random, users: int) -> str:
    return f"user{chance.randrange(users)}"
