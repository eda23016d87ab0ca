"""
Compute what a callback adds to the statistics: sums, people and a conversation. Does no I/O.

A field of a body with an unusual type counts as absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from schemas.body import to_text
from schemas.body_fields import MESSAGE_COMMANDS, integer, sent_s
from schemas.commands import COMMANDS
from schemas.figures import (
    ALL_CALLBACKS,
    BY_APP,
    BY_ROBOTS,
    COMMAND,
    CONTACTS_ADDED,
    CONTACTS_REMOVED,
    GROUP_JOINS,
    GROUP_LEAVES,
    GROUP_MESSAGES,
    GROUP_SENDERS,
    GROUPS_CREATED,
    GROUPS_DISSOLVED,
    GROUPS_WITH_MESSAGES,
    LOG_INS,
    LOG_OUTS,
    LOGGED_IN,
    ONE_TO_ONE_MESSAGES,
    ONE_TO_ONE_SENDERS,
    ONE_TO_ONE_UNDELIVERED,
    ONLINE_ONLY,
    OTHER,
    PEOPLE,
    PLATFORM,
    PLATFORMS,
    RECIPIENTS,
    REGISTRATIONS,
    REST_API,
    TYPE,
    TYPES,
    UNDELIVERED,
    UNKNOWN_PLATFORM,
)
from schemas.message_fields import ElementKind, MessageFields, message_fields
from schemas.payload import GroupMessage, StateChange

# The account that every app has for its administrator. It may have more, and other names.
ADMINISTRATOR = "administrator"
ROBOT_PREFIX = "@RBT#"
# The greatest number that one callback may add to a sum: a body may hold a list of any length.
LIST_LENGTH_MAX = 1000

# A time in a body is plausible from MESSAGE_AGE_S_MAX before the receipt to CLOCK_AHEAD_S_MAX after
# it. A wrong clock must not make keys for every minute in history.
MESSAGE_AGE_S_MAX = 31 * 24 * 3600
CLOCK_AHEAD_S_MAX = 24 * 3600

_PLATFORMS = {
    written: PLATFORM + platform
    for platform in PLATFORMS
    for written in (platform, platform.upper())
} | {"": PLATFORM + UNKNOWN_PLATFORM}
_BY_REST_API = PLATFORM + REST_API
_TYPES = {kind: TYPE + kind for kind in TYPES}
_LOG_OUTS = ("Logout", "Disconnect", "TimeOut")
# The commands that add the number of entries of a list, with this list.
_LISTS = {
    "Group.CallbackAfterNewMemberJoin": (GROUP_JOINS, "NewMemberList"),
    "Group.CallbackAfterMemberExit": (GROUP_LEAVES, "ExitMemberList"),
    "Sns.CallbackFriendAdd": (CONTACTS_ADDED, "PairList"),
    "Sns.CallbackFriendDelete": (CONTACTS_REMOVED, "PairList"),
}
_ONCE = {
    "Group.CallbackAfterCreateGroup": (GROUPS_CREATED,),
    "Group.CallbackAfterGroupDestroyed": (GROUPS_DISSOLVED,),
}


# A role, and an account in it; in the role GROUPS_WITH_MESSAGES, a group.
RoleMember: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class FigureSums:
    """
    Numbers by figure. `unknown_command` is the command if COMMANDS lacks it, else "".

    Callbacks that add the same numbers usually share one object, so the counters count how often
    each object occurs.
    """

    numbers: Mapping[str, int]
    unknown_command: str


class Additions(msgspec.Struct, frozen=True, gc=False):
    """
    The numbers, members of roles and conversation that one callback adds to the statistics.

    `conversation` is the group of a message, or its two accounts, sorted; () if there is none.
    """

    sums: FigureSums
    members: tuple[RoleMember, ...] = ()
    conversation: tuple[str, ...] = ()

    def members_in(self, figure: str) -> set[str]:
        """Return the accounts, or groups, that count in a figure of PEOPLE."""
        return {member for role, member in self.members if role in PEOPLE[figure]}


def additions_of(command: str, opt_platform: str, document: Mapping[str, Any]) -> Additions:
    """Return what a callback adds to the statistics; `document` is its body."""
    if command in MESSAGE_COMMANDS:
        return message_additions(command, opt_platform, message_fields(document))
    if command == StateChange.COMMAND:
        return _state_change(command, document)
    if command in _LISTS:
        figure, field = _LISTS[command]
        entries = document.get(field)
        length = len(entries) if isinstance(entries, list) else 0
        return Additions(_sums(command, (figure,), min(max(length, 1), LIST_LENGTH_MAX)))
    return Additions(_sums(command, _ONCE.get(command, ())))


def counted_at_s(document: Mapping[str, Any], received_s: int) -> int:
    """Return the time, in seconds since 1970, in whose windows a callback is counted."""
    at = sent_s(document)
    if at is not None and received_s - MESSAGE_AGE_S_MAX <= at <= received_s + CLOCK_AHEAD_S_MAX:
        return at
    return received_s


def message_additions(command: str, opt_platform: str, fields: MessageFields) -> Additions:
    """
    Return what a callback of MESSAGE_COMMANDS adds to the statistics.

    An online-only message (a typing indicator) is not a message, and its accounts do not count as
    people. The sender of a message is a person unless it is a robot or the app.
    """
    if fields.online_only and integer(fields.online_only) == 1:
        return Additions(_sums(command, (ONLINE_ONLY,)))
    is_group = command == GroupMessage.COMMAND
    failure = UNDELIVERED if fields.result and integer(fields.result) else ""
    sender, recipient = fields.sender, fields.recipient
    platform = _PLATFORMS.get(opt_platform) or _platform(opt_platform)
    members: tuple[RoleMember, ...] = ()
    source = ""
    if sender and sender.startswith(ROBOT_PREFIX):
        source = BY_ROBOTS
    elif platform == _BY_REST_API or ADMINISTRATOR in (sender, fields.operator):
        source = BY_APP
    elif sender:
        members = ((GROUP_SENDERS if is_group else ONE_TO_ONE_SENDERS, sender),)
    if recipient and recipient != ADMINISTRATOR and not recipient.startswith(ROBOT_PREFIX):
        members += ((RECIPIENTS, recipient),)
    conversation: tuple[str, ...] = ()
    if is_group:
        if fields.group:
            members += ((GROUPS_WITH_MESSAGES, fields.group),)
            conversation = (fields.group,)
    elif sender and recipient:
        conversation = (sender, recipient) if sender < recipient else (recipient, sender)
    types = _types(fields.elements) if fields.elements else ()
    return Additions(
        _message_sums(command, platform, source, failure, types), members, conversation
    )


def _platform(opt_platform: str) -> str:
    return _PLATFORMS.get(opt_platform.upper(), PLATFORM + OTHER)


def _types(elements: list[ElementKind]) -> tuple[str, ...] | str:
    """Return the figures of all types in a message, each once; usually it is one."""
    if len(elements) == 1 and isinstance(kind := elements[0].kind, str):
        return _TYPES.get(kind, TYPE + OTHER)
    kinds = {each.kind for each in elements if isinstance(each.kind, str)}
    return tuple(sorted({_TYPES.get(kind, TYPE + OTHER) for kind in kinds}))


def _state_change(command: str, document: Mapping[str, Any]) -> Additions:
    info = document.get("Info")
    if not isinstance(info, dict):
        return Additions(_sums(command, ()))
    action = info.get("Action")
    if action == "Login":
        is_new = info.get("Reason") == "Register"
        account = to_text(info.get("To_Account"))
        return Additions(
            _sums(command, (LOG_INS, REGISTRATIONS) if is_new else (LOG_INS,)),
            ((LOGGED_IN, account),) if account else (),
        )
    return Additions(_sums(command, (LOG_OUTS,) if action in _LOG_OUTS else ()))


# A message's sums depend on few values, all bounded but the combinations of types.
@lru_cache(maxsize=4096)
def _message_sums(
    command: str, platform: str, source: str, failure: str, types: tuple[str, ...] | str
) -> FigureSums:
    is_group = command == GroupMessage.COMMAND
    figures = [GROUP_MESSAGES if is_group else ONE_TO_ONE_MESSAGES, platform]
    figures += [types] if isinstance(types, str) else types
    if source:
        figures.append(source)
    if failure:
        figures += [failure] if is_group else [failure, ONE_TO_ONE_UNDELIVERED]
    return _sums(command, tuple(figures))


@lru_cache(maxsize=4096)
def _sums(command: str, figures: tuple[str, ...], number: int = 1) -> FigureSums:
    is_known = command in COMMANDS
    by_command = COMMAND + (command if is_known else OTHER)
    return FigureSums(
        {ALL_CALLBACKS: 1, by_command: 1, **dict.fromkeys(figures, number)},
        "" if is_known else command,
    )
