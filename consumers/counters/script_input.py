"""Compute from a batch's callbacks the values that apply.lua counts."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from consumers.counters import old_layout as layout
from consumers.runtime.callbacks import Callback
from schemas.commands import COMMANDS, UNKNOWN
from schemas.event import Event
from schemas.figures import ACTIVE, KINDS, added
from schemas.identity import place_id
from schemas.message import sent_at

ACCOUNT_LENGTH_MAX = 128

# A message's time is plausible within these bounds of its receipt. Only then is its id remembered
# in the hour of that time: a wrong clock must not create sets for any hour in history.
MESSAGE_AGE_MAX = timedelta(days=31)
MESSAGE_AHEAD_MAX = timedelta(days=1)
# Without a plausible time, a repeat is found only this long after the receipt of the first one.
REPEATED_WITHIN = timedelta(hours=1)
HOUR_S = 3600


def script_input(parsed: Sequence[Callback], secret: bytes) -> Mapping[str, Any]:
    """Return the batch as apply.lua reads it; `secret` is the key of the hashes."""
    return {
        "origins": _origins(parsed),
        "callbacks": [_counted_values(callback, secret) for callback in parsed],
    }


def _origins(parsed: Sequence[Callback]) -> list[tuple[str, int, int]]:
    """Return for each origin the number of its sequences, and their sum."""
    by_origin: dict[str, list[int]] = defaultdict(list)
    for callback in parsed:
        by_origin[callback.event.origin].append(callback.event.sequence)
    return [
        (origin, len(sequences), sum(sequences) % layout.SUM_MODULUS)
        for origin, sequences in by_origin.items()
    ]


def _counted_values(callback: Callback, secret: bytes) -> tuple[Any, ...]:
    """Return the values of a callback that the script counts, in the order of its `unpack`."""
    event = callback.event
    adds = added(event.command, event.opt_platform, callback.document)
    kinds = [kind for kind in KINDS if kind in adds.sums.numbers]
    people = [_short(account) for account in sorted(adds.accounts(ACTIVE))]
    return (
        event.sdkappid,
        event.command,
        hours_to_search(event, callback.document),
        keyed_hash(event.id, secret),
        kinds,
        layout.hour_of(event.received_at),
        f"{event.received_at:%M}",
        people,
        [keyed_hash(account, secret) for account in people],
    )


def keyed_hash(text: str, secret: bytes) -> str:
    """
    Return 63 bits of `text` in decimal, as hash_set.lua keeps them.

    Without the secret, a sender cannot make two texts with one hash, which would count as one.
    """
    digest = hashlib.blake2b(text.encode(), key=secret, digest_size=8).digest()
    return str(int.from_bytes(digest) >> 1)


def hours_to_search(event: Event, document: Mapping[str, Any]) -> list[int]:
    """
    Return the hours, since 1970, whose remembered ids are searched for the id of `event`.

    If the id is in none of them, the callback is new, and its id is remembered in the first hour.

    A plausible time of the message gives that hour: a repeat that arrives hours later, out of an
    adopted spool, has the same time. Otherwise it is the hour of receipt, and a repeat is found if
    it was received up to REPEATED_WITHIN before or after. Near the bounds of plausible times, the
    time of one callback may be plausible and that of its repeat not, so all of these hours are
    searched.

    An id that names the place of storage has no hours: no other callback has it.
    """
    if event.id == place_id(event.origin, event.sequence):
        return []
    # Two callbacks of one message may differ in EventTime.
    is_by_key = COMMANDS.get(event.command, UNKNOWN).identity == "key"
    sent = sent_at({"MsgTime": document.get("MsgTime")} if is_by_key else document)
    received = _hour(event.received_at)
    by_receipt = [received, received - 1, received + 1]
    if sent is None:
        return by_receipt
    ahead = sent - event.received_at
    if REPEATED_WITHIN - MESSAGE_AGE_MAX < ahead < MESSAGE_AHEAD_MAX - REPEATED_WITHIN:
        return [_hour(sent)]
    if -MESSAGE_AGE_MAX <= ahead <= MESSAGE_AHEAD_MAX:
        return [_hour(sent), *by_receipt]
    return [*by_receipt, _hour(sent)]


def _hour(at: datetime) -> int:
    return int(at.timestamp() // HOUR_S)


def _short(account: str) -> str:
    # Accounts are short in practice; a body may hold a long text instead: its digest replaces it.
    if len(account) <= ACCOUNT_LENGTH_MAX:
        return account
    return hashlib.sha256(account.encode()).hexdigest()
