"""
Find the parties of a callback, and make the record's key of them.

Both depend on the request only, so a repeated request has the same.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from schemas.body import to_text
from schemas.commands import COMMANDS, UNKNOWN

# Each record has a key; accounts, of which it is made, may be as long as the body allows.
KEY_BYTES_MAX = 512

# The fields that name the parties, besides From_Account, To_Account, GroupId and Official_Account,
# in the order of preference. `[0]`: the first entry of a list; `[]`: a list, which counts if all of
# its entries have the same party.
_SENDERS = (
    "Report_Account",
    "Requester_Account",
    "Requestor_Account",
    "GiftWater.From_Account",
    "PairList[0].From_Account",
    "Events[].From_Account",
    "Operator_Account",
    "Owner_Account",
)
_RECIPIENTS = (
    "Peer_Account",
    "Info.To_Account",
    "ContactItem.To_Account",
    "GiftWater.To_Account",
    "PairList[].To_Account",
    "FriendItem[].To_Account",
    "ResponseFriendItem[].To_Account",
    "FollowList[].To_Account",
    "Events[].To_Account",
    "NewOwner_Account",
    "CurrentOwner_Account",
)
# A live room is a group: its messages are reported by Group.CallbackAfterSendMsg with its GroupId.
_GROUPS = (
    "RoomId",
    "ContactItem.ToGroupId",
    "Events[].GroupID",
    "FromRoomId",
    "FromRoomInfo.RoomId",
    "RoomInfo.RoomId",
)


class _Path(NamedTuple):
    outer: str
    inner: str
    # The number of entries of a list that count; None if the value is not a list.
    entries: slice | None


def _paths(names: tuple[str, ...]) -> tuple[_Path, ...]:
    entries = {"": None, "]": slice(None), "0]": slice(1)}
    paths = []
    for name in names:
        field, _, inner = name.partition(".")
        outer, _, selector = field.partition("[")
        paths.append(_Path(outer, inner, entries[selector]))
    return tuple(paths)


_SENDER_PATHS, _RECIPIENT_PATHS, _GROUP_PATHS = map(_paths, (_SENDERS, _RECIPIENTS, _GROUPS))
# Most callbacks have none of these.
_RARE = {
    "Official_Account",
    *(path.outer for path in _SENDER_PATHS + _RECIPIENT_PATHS + _GROUP_PATHS),
}


class Parties(msgspec.Struct, frozen=True, gc=False):
    """The parties of a callback, each "" if the callback has none."""

    sender: str
    recipient: str
    group: str
    official_account: str


def parties(document: Mapping[str, Any]) -> Parties:
    """
    Find the parties of any command.

    An official account is the sender if the body names no other sender; else it is the recipient if
    the body names no other recipient.
    """
    sender = to_text(document.get("From_Account"))
    to = document.get("To_Account")
    recipient = _party(to) if isinstance(to, list) else to_text(to)
    group = to_text(document.get("GroupId"))
    if _RARE.isdisjoint(document):
        return Parties(sender, recipient, group, "")
    official_account = to_text(document.get("Official_Account"))
    sender = sender or _first(document, _SENDER_PATHS) or official_account
    recipient = recipient or _first(document, _RECIPIENT_PATHS)
    if not recipient and official_account != sender:
        recipient = official_account
    return Parties(sender, recipient, group or _first(document, _GROUP_PATHS), official_account)


def record_key(sdkappid: str, command: str, callback_parties: Parties) -> bytes | None:
    """
    Return the Kafka key that keeps one conversation or account in one partition, in order.

    It is None without parties. Readers must not parse it: it has the app, the kind of the key and
    the parties, or their digest above KEY_BYTES_MAX. Keys of two kinds are never equal.
    """
    sender, recipient, group, official_account = (
        callback_parties.sender,
        callback_parties.recipient,
        callback_parties.group,
        callback_parties.official_account,
    )
    if COMMANDS.get(command, UNKNOWN).order == "account":
        members = f"account/{sender or recipient or group or official_account}"
    elif group:
        members = f"group/{group}"
    elif official_account:
        members = f"channel/{official_account}"
    elif sender and recipient:
        first, second = (sender, recipient) if sender <= recipient else (recipient, sender)
        # The length keeps ("a/b", "c") and ("a", "b/c") apart.
        members = f"pair/{len(first)}/{first}/{second}"
    else:
        members = f"account/{sender or recipient}"
    if members == "account/":
        return None
    key = f"{sdkappid}/{members}".encode()
    return (
        key
        if len(key) <= KEY_BYTES_MAX
        else f"{sdkappid}/digest/{sha256(key).hexdigest()}".encode()
    )


def _first(document: Mapping[str, Any], paths: tuple[_Path, ...]) -> str:
    for outer, inner, entries in paths:
        value = document.get(outer)
        if value is None:
            continue
        if entries is not None:
            value = (
                [_inner(each, inner) for each in value[entries]]
                if isinstance(value, list)
                else None
            )
        elif inner:
            value = _inner(value, inner)
        if party := _party(value):
            return party
    return ""


def _inner(value: Any, field: str) -> Any:
    return value.get(field) if isinstance(value, dict) else None


def _party(value: Any) -> str:
    """Return the party in a field that holds one party, or a list of equal ones; else ""."""
    if isinstance(value, list):
        names = {to_text(each) for each in value}
        return names.pop() if len(names) == 1 else ""
    return to_text(value)
