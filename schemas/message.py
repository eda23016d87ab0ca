"""
Read the fields that sinks need from a body: any object; an unusual field counts as absent.

The typed views in schemas/payload.py are for consumers that may refuse a body that they cannot
read; a sink must not, because every callback that was answered OK has to be in it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.body import INTEGER_DIGITS_MAX, text
from schemas.payload import GroupMessage, Message

# The commands whose callbacks sinks store and count as messages. Callbacks of other commands
# (official accounts, chatbots) may report a message as well; sinks take them as any other callback.
MESSAGE_COMMANDS = (Message.COMMAND, GroupMessage.COMMAND)

# The kinds by which messages are counted. A message is of one of the first three kinds; a message
# that is not online-only may be of some of the others as well.
ONE_TO_ONE_MESSAGES = "one_to_one_messages"
GROUP_MESSAGES = "group_messages"
ONLINE_ONLY = "online_only"
UNDELIVERED = "undelivered"
BY_APP = "by_app"
BY_ROBOTS = "by_robots"
KINDS = (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, ONLINE_ONLY, UNDELIVERED, BY_APP, BY_ROBOTS)

# OptPlatform of a message that the app's own servers send, in the name of any account.
REST_API = "RESTAPI"
# The account that every app has for its administrator. It may have more, and other names.
ADMINISTRATOR = "administrator"
ROBOT_PREFIX = "@RBT#"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)


def sent_at(document: Mapping[str, Any]) -> datetime | None:
    """Return the time in the body: MsgTime (seconds), else EventTime (milliseconds)."""
    for field, unit in (("MsgTime", _SECOND), ("EventTime", _MILLISECOND)):
        if (number := integer(document.get(field))) is not None:
            try:
                return _EPOCH + number * unit
            except OverflowError:
                continue
    return None


def integer(value: Any) -> int | None:
    """Return an integer or decimal text as a number, None for all else or too many digits."""
    number = text(value)
    digits = number.removeprefix("-")
    is_integer = digits.isascii() and digits.isdecimal()
    return int(number) if is_integer and len(digits) <= INTEGER_DIGITS_MAX else None


class Statistic(NamedTuple):
    """The contribution of a callback to the statistics: kinds of messages, accounts of people."""

    kinds: tuple[str, ...]
    people: tuple[str, ...]


def statistic(command: str, opt_platform: str, document: Mapping[str, Any]) -> Statistic:
    """
    Return what a callback adds to the statistics: nothing, unless it reports a sent message.

    An online-only message (a typing indicator) counts as a kind of its own, and its accounts do not
    count as people. The sender is a person unless it is a robot or the app.
    """
    if command not in MESSAGE_COMMANDS:
        return Statistic((), ())
    if integer(document.get("OnlineOnlyFlag")) == 1:
        return Statistic((ONLINE_ONLY,), ())
    kinds = [ONE_TO_ONE_MESSAGES if command == Message.COMMAND else GROUP_MESSAGES]
    if integer(document.get("SendMsgResult")):
        kinds.append(UNDELIVERED)
    sender, recipient = text(document.get("From_Account")), text(document.get("To_Account"))
    # In groups this is the real sender: the app may send in the name of another account.
    operator = text(document.get("Operator_Account"))
    accounts = [sender, recipient]
    if sender.startswith(ROBOT_PREFIX):
        kinds.append(BY_ROBOTS)
    elif opt_platform.upper() == REST_API or ADMINISTRATOR in (sender, operator):
        kinds.append(BY_APP)
        accounts = [recipient]
    return Statistic(tuple(kinds), tuple(filter(_is_person, accounts)))


def _is_person(account: str) -> bool:
    return account not in ("", ADMINISTRATOR) and not account.startswith(ROBOT_PREFIX)
