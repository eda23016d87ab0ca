"""The slots of time whose ids are remembered together, and expire together."""

from collections.abc import Mapping
from typing import Any

from consumers.counters.layout import HOUR_S, MINUTE_S
from schemas.additions import CLOCK_AHEAD_S_MAX, MESSAGE_AGE_S_MAX
from schemas.body_fields import sent_s
from schemas.commands import COMMANDS, UNKNOWN

# Without a plausible time, a repeat is found for at least this long after the first one was
# received, and for nearly an hour more, because hours are searched.
REPEATED_WITHIN_S = HOUR_S


def slots_to_search(
    command: str, document: Mapping[str, Any], received_s: int
) -> tuple[int | str, ...]:
    """
    Return the slots whose remembered ids are searched for the id of a callback.

    If the id is in none of them, the callback is new, and its id is remembered in the first slot.

    A plausible time of the message gives a slot, its minute: a repeat that arrives hours later, out
    of an adopted spool, has the same time. Otherwise it is the hour of receipt, and a repeat is
    found if it was received up to REPEATED_WITHIN_S before or after.

    A time that is hardly plausible for one of the two may not be plausible for the other, received
    later. Near these bounds both kinds of slots are searched, the minute and the hours.

    A minute is its number since 1970, an hour a text.
    """
    # Two callbacks of one message may differ in EventTime.
    is_by_key = COMMANDS.get(command, UNKNOWN).identity == "key"
    sent = sent_s({"MsgTime": document.get("MsgTime")} if is_by_key else document)
    if sent is None:
        return by_receipt(received_s)
    ahead = sent - received_s
    if REPEATED_WITHIN_S - MESSAGE_AGE_S_MAX < ahead < CLOCK_AHEAD_S_MAX - REPEATED_WITHIN_S:
        return (sent // MINUTE_S,)
    if -MESSAGE_AGE_S_MAX <= ahead <= CLOCK_AHEAD_S_MAX:
        return (sent // MINUTE_S, *by_receipt(received_s))
    return (*by_receipt(received_s), sent // MINUTE_S)


def by_receipt(received_s: int) -> tuple[str, str, str]:
    """Return the hour of receipt, the one before and the one after."""
    hour = received_s // HOUR_S
    return (f"h{hour}", f"h{hour - 1}", f"h{hour + 1}")
