"""
What a callback adds to the statistics: sums, people and a conversation. Does no I/O.

The names of the figures are public: the API, its CSV and the keys in Valkey have them. A field of a
body with an unusual type counts as absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from schemas.body import DEPTH_MAX, text
from schemas.commands import COMMANDS
from schemas.message import MESSAGE_COMMANDS, integer, sent_s
from schemas.payload import GroupMessage, StateChange

# Sums. A message is a callback of MESSAGE_COMMANDS that is not online-only.
CALLBACKS = "callbacks"
ONE_TO_ONE_MESSAGES = "one_to_one_messages"
GROUP_MESSAGES = "group_messages"
UNDELIVERED = "undelivered"
ONE_TO_ONE_UNDELIVERED = "one_to_one_undelivered"
ONLINE_ONLY = "online_only"
BY_APP = "by_app"
BY_ROBOTS = "by_robots"
LOG_INS = "log_ins"
LOG_OUTS = "log_outs"
REGISTRATIONS = "registrations"
GROUP_JOINS = "group_joins"
GROUP_LEAVES = "group_leaves"
GROUPS_CREATED = "groups_created"
GROUPS_DISSOLVED = "groups_dissolved"
CONTACTS_ADDED = "contacts_added"
CONTACTS_REMOVED = "contacts_removed"
# Only the store knows whether a conversation is new, so no callback adds this by itself.
NEW_CONVERSATIONS = "new_conversations"
SUMS = (
    *(CALLBACKS, ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, UNDELIVERED, ONE_TO_ONE_UNDELIVERED),
    *(ONLINE_ONLY, BY_APP, BY_ROBOTS, LOG_INS, LOG_OUTS, REGISTRATIONS, GROUP_JOINS, GROUP_LEAVES),
    *(GROUPS_CREATED, GROUPS_DISSOLVED, CONTACTS_ADDED, CONTACTS_REMOVED, NEW_CONVERSATIONS),
)
# The kinds of messages that /v1/totals and /v1/minutes show.
KINDS = (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, ONLINE_ONLY, UNDELIVERED, BY_APP, BY_ROBOTS)
# Sums by a name that a callback has: an element's type, a platform, a command. All names that are
# not known are one name, so that senders cannot make figures without bound.
TYPE = "type:"
PLATFORM = "platform:"
COMMAND = "command:"
OTHER = "other"
TYPES = (
    *("TIMTextElem", "TIMLocationElem", "TIMFaceElem", "TIMCustomElem", "TIMSoundElem"),
    *("TIMImageElem", "TIMFileElem", "TIMVideoFileElem", "TIMRelayElem", "TIMStreamElem"),
)
# OptPlatform of a message that the app's own servers send, in the name of any account.
REST_API = "RESTAPI"
UNKNOWN_PLATFORM = "Unknown"
PLATFORMS = (REST_API, "Web", "Android", "iOS", "Windows", "Mac", "iPad", UNKNOWN_PLATFORM)

# Roles: what a person, or a group, did. Sketches are kept by role.
ONE_TO_ONE_SENDERS = "one_to_one_senders"
GROUP_SENDERS = "group_senders"
RECIPIENTS = "recipients"
GROUPS_WITH_MESSAGES = "groups_with_messages"
LOGGED_IN = "logged_in"
ROLES = (ONE_TO_ONE_SENDERS, GROUP_SENDERS, RECIPIENTS, GROUPS_WITH_MESSAGES, LOGGED_IN)
ACTIVE = "active"
SENDERS = "senders"
# The figures of distinct people (of groups: the one that says so), each with the roles of which
# it is the union.
PEOPLE = {
    ACTIVE: (ONE_TO_ONE_SENDERS, GROUP_SENDERS, RECIPIENTS),
    SENDERS: (ONE_TO_ONE_SENDERS, GROUP_SENDERS),
    RECIPIENTS: (RECIPIENTS,),
    ONE_TO_ONE_SENDERS: (ONE_TO_ONE_SENDERS,),
    GROUP_SENDERS: (GROUP_SENDERS,),
    GROUPS_WITH_MESSAGES: (GROUPS_WITH_MESSAGES,),
    LOGGED_IN: (LOGGED_IN,),
}
FIGURES_OF_ROLE = {
    role: tuple(figure for figure, roles in PEOPLE.items() if role in roles) for role in ROLES
}

# The account that every app has for its administrator. It may have more, and other names.
ADMINISTRATOR = "administrator"
ROBOT_PREFIX = "@RBT#"
# The greatest number that one callback may add to a sum: a body may hold a list of any length.
LIST_LENGTH_MAX = 1000

# A time in a body is plausible if it is from so long before the receipt to so long after it. A
# wrong clock must not make keys for every minute in history.
AGE_S_MAX = 31 * 24 * 3600
AHEAD_S_MAX = 24 * 3600

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


# A role, and an account in it; with GROUPS_WITH_MESSAGES, a group.
Person: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """
    Numbers by figure. Without a command in COMMANDS, `unknown_command` is its name, else "".

    Callbacks that add the same usually share one object, so it is counted how often each occurs.
    """

    numbers: Mapping[str, int]
    unknown_command: str


class Added(msgspec.Struct, frozen=True, gc=False):
    """
    What one callback adds.

    `conversation` is the group of a message, or its two accounts, sorted; () if there is none.
    """

    sums: Sums
    people: tuple[Person, ...] = ()
    conversation: tuple[str, ...] = ()

    def accounts(self, figure: str) -> set[str]:
        """Return the accounts, or groups, that count in a figure of PEOPLE."""
        return {account for role, account in self.people if role in PEOPLE[figure]}


def added(command: str, opt_platform: str, document: Mapping[str, Any]) -> Added:
    """Return what a callback adds to the statistics; `document` is its body."""
    if command in MESSAGE_COMMANDS:
        return message_added(command, opt_platform, message_fields(document))
    if command == StateChange.COMMAND:
        return _state_change(command, document)
    if command in _LISTS:
        figure, field = _LISTS[command]
        entries = document.get(field)
        length = len(entries) if isinstance(entries, list) else 0
        return Added(_sums(command, (figure,), min(max(length, 1), LIST_LENGTH_MAX)))
    return Added(_sums(command, _ONCE.get(command, ())))


def counted_at_s(document: Mapping[str, Any], received_s: int) -> int:
    """Return the time, in seconds since 1970, in whose windows a callback is counted."""
    at = sent_s(document)
    if at is not None and received_s - AGE_S_MAX <= at <= received_s + AHEAD_S_MAX:
        return at
    return received_s


class _Element(msgspec.Struct, gc=False):
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
    elements: list[_Element] | None = msgspec.field(name="MsgBody", default=None)


_decode = msgspec.json.Decoder(MessageFields).decode


def decode_message(body: bytes) -> MessageFields | None:
    """
    Return the fields in a usual body of a message; None if only `schemas.body.parse` can tell.

    What it returns, `message_fields` returns of the parsed body; msgspec would pass over fields
    that are not UTF-8 or too deep, which `parse` refuses.
    """
    try:
        if not body.isascii():
            body.decode()
        if body.count(b"[") + body.count(b"{") > DEPTH_MAX:
            return None
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def message_fields(document: Mapping[str, Any]) -> MessageFields:
    """Return the fields in a parsed body of a message; one of an unusual type counts as absent."""
    elements = document.get("MsgBody")
    if isinstance(elements, list):
        elements = [_Element(each.get("MsgType")) for each in elements if isinstance(each, dict)]
    else:
        elements = None
    return MessageFields(
        text(document.get("From_Account")),
        text(document.get("To_Account")),
        text(document.get("GroupId")),
        text(document.get("Operator_Account")),
        document.get("OnlineOnlyFlag"),
        document.get("SendMsgResult"),
        document.get("MsgTime"),
        document.get("EventTime"),
        elements,
    )


def message_added(command: str, opt_platform: str, fields: MessageFields) -> Added:
    """
    Return what a callback of MESSAGE_COMMANDS adds to the statistics.

    An online-only message (a typing indicator) is no message, and its accounts do not count as
    people. The sender of a message is a person unless it is a robot or the app.
    """
    if fields.online_only and integer(fields.online_only) == 1:
        return Added(_sums(command, (ONLINE_ONLY,)))
    is_group = command == GroupMessage.COMMAND
    failure = UNDELIVERED if fields.result and integer(fields.result) else ""
    sender, recipient = fields.sender, fields.recipient
    platform = _PLATFORMS.get(opt_platform) or _platform(opt_platform)
    people: tuple[Person, ...] = ()
    source = ""
    if sender and sender.startswith(ROBOT_PREFIX):
        source = BY_ROBOTS
    elif platform == _BY_REST_API or ADMINISTRATOR in (sender, fields.operator):
        source = BY_APP
    elif sender:
        people = ((GROUP_SENDERS if is_group else ONE_TO_ONE_SENDERS, sender),)
    if recipient and recipient != ADMINISTRATOR and not recipient.startswith(ROBOT_PREFIX):
        people += ((RECIPIENTS, recipient),)
    conversation: tuple[str, ...] = ()
    if is_group:
        if fields.group:
            people += ((GROUPS_WITH_MESSAGES, fields.group),)
            conversation = (fields.group,)
    elif sender and recipient:
        conversation = (sender, recipient) if sender < recipient else (recipient, sender)
    types = _types(fields.elements) if fields.elements else ()
    return Added(_message_sums(command, platform, source, failure, types), people, conversation)


def _platform(opt_platform: str) -> str:
    return _PLATFORMS.get(opt_platform.upper(), PLATFORM + OTHER)


def _types(elements: list[_Element]) -> tuple[str, ...] | str:
    """Return the figures of all types in a message, each once; usually it is one."""
    if len(elements) == 1 and isinstance(kind := elements[0].kind, str):
        return _TYPES.get(kind, TYPE + OTHER)
    kinds = {each.kind for each in elements if isinstance(each.kind, str)}
    return tuple(sorted({_TYPES.get(kind, TYPE + OTHER) for kind in kinds}))


def _state_change(command: str, document: Mapping[str, Any]) -> Added:
    info = document.get("Info")
    if not isinstance(info, dict):
        return Added(_sums(command, ()))
    action = info.get("Action")
    if action == "Login":
        is_new = info.get("Reason") == "Register"
        account = text(info.get("To_Account"))
        return Added(
            _sums(command, (LOG_INS, REGISTRATIONS) if is_new else (LOG_INS,)),
            ((LOGGED_IN, account),) if account else (),
        )
    return Added(_sums(command, (LOG_OUTS,) if action in _LOG_OUTS else ()))


# A message's sums depend on few values, all bounded but the combinations of types.
@lru_cache(maxsize=4096)
def _message_sums(
    command: str, platform: str, source: str, failure: str, types: tuple[str, ...] | str
) -> Sums:
    is_group = command == GroupMessage.COMMAND
    figures = [GROUP_MESSAGES if is_group else ONE_TO_ONE_MESSAGES, platform]
    figures += [types] if isinstance(types, str) else types
    if source:
        figures.append(source)
    if failure:
        figures += [failure] if is_group else [failure, ONE_TO_ONE_UNDELIVERED]
    return _sums(command, tuple(figures))


@lru_cache(maxsize=4096)
def _sums(command: str, figures: tuple[str, ...], number: int = 1) -> Sums:
    is_known = command in COMMANDS
    by_command = COMMAND + (command if is_known else OTHER)
    return Sums(
        {CALLBACKS: 1, by_command: 1, **dict.fromkeys(figures, number)},
        "" if is_known else command,
    )
