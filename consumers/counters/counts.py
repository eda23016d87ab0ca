"""
Write the counts to Valkey: one call of a script for each batch moves totals and position together.

Valkey runs no other command during a script, and writes all its effects into the append-only file,
or none. After a crash, Valkey may have lost the last second: totals and position together. The
consumer then continues from that position.
"""

import asyncio
import hashlib
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec
from valkey import exceptions
from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.callbacks import Callback, callbacks
from consumers.runtime.handler import Elsewhere, Stopped, Unavailable
from schemas.commands import COMMANDS, UNKNOWN
from schemas.event import Event
from schemas.identity import place_id
from schemas.message import sent_at, statistic
from schemas.setting import Format, Secret

VALKEY_URL = Format(
    "a URL like valkey://:password@host:6379/0",
    re.compile(r"(valkey|redis)s?://[^/?]+(/\d*)?(\?.*)?").fullmatch,
)
# For each step of a call: connecting, each write and each read.
STEP_S = 5.0
# For a whole call, well below the runtime's HANDLE_S.
ANSWER_S = 8.0
ACCOUNT_LENGTH_MAX = 128

# A message's time is plausible within these bounds of its receipt. Only then its id is remembered
# in the hour of that time: a wrong clock must not create sets for any hour in history.
OLDEST = timedelta(days=31)
NEWEST = timedelta(days=1)
# Without a plausible time, a repeat is found only this long after the receipt of the first one.
REPEATED_WITHIN = timedelta(hours=1)
HOUR_S = 3600

_SCRIPT = "".join(
    files(__package__).joinpath(name).read_text() for name in ("hash_set.lua", "apply.lua")
)
_OTHER_SECRET = b"secret "
# The spaces between the five parts of a position; the last part may have more.
_POSITION_SPACES = 4
# Stands in a position for a value that is not known.
_UNKNOWN = "-"
# While apply.lua applies a batch, the position begins with this.
_TORN = b"torn"
# Errors that mean "not now". Any other error of a command is a bug.
_NOT_NOW = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.NoPermissionError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    OSError,
)
_NOT_NOW_ANSWERS = ("BUSY", "DB index", "MISCONF", "MASTERDOWN", "NOREPLICAS")


class Counts:
    """A handler: counts in one Valkey. It connects on first use, and again after a failure."""

    def __init__(
        self, url: Secret, *, remember_s: int, keep_minutes_s: int, people_exact_max: int
    ) -> None:
        self._valkey = connect(url)
        self._script = self._valkey.register_script(_SCRIPT)
        self._bounds = (remember_s, keep_minutes_s, people_exact_max)
        # Valkey keeps the first secret that a process sends; all processes use that secret.
        self._secret = secrets.token_hex(16).encode()

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the position that is stored for `partition`, None if there is none.

        Raises:
            Unavailable: Valkey does not answer.
            Stopped: an earlier call of the script ended half-way.
        """
        async with answering():
            found: bytes | None = await self._valkey.hget(layout.POSITIONS, str(partition))  # type: ignore[misc]  # typed for both of its clients
        if found is None:
            return None
        if found.startswith(_TORN):
            raise _torn(partition)
        return _position(found)

    async def begin(self, partition: Partition, position: Position) -> None:
        """
        Store `position` if the partition has none yet; a stored position stays.

        Raises:
            Unavailable: Valkey does not answer.
        """
        async with answering():
            await self._valkey.hsetnx(layout.POSITIONS, str(partition), _text(position))  # type: ignore[misc]  # as above

    async def handle(self, batch: Batch) -> None:
        """
        Count the batch and move the position.

        Raises:
            Rejected: one record is not a callback; nothing was counted.
            Elsewhere: the batch does not follow the position; nothing was counted.
            Unavailable: Valkey did not answer; it may have applied all or nothing.
            Stopped: an earlier call of the script ended half-way.
        """
        parsed = list(callbacks(batch))
        outcome = await self._apply(batch, parsed)
        if outcome is not None and outcome.startswith(_OTHER_SECRET):
            self._secret = outcome.removeprefix(_OTHER_SECRET)
            outcome = await self._apply(batch, parsed)
        if outcome is None:
            raise Elsewhere(None)
        if outcome.startswith(_TORN):
            raise _torn(batch.partition)
        if outcome != b"applied":
            raise Elsewhere(_position(outcome))

    async def _apply(self, batch: Batch, parsed: list[Callback]) -> bytes | None:
        facts = {"origins": _origins(parsed), "callbacks": _facts(parsed, self._secret)}
        async with answering():
            outcome: bytes | None = await self._script(
                keys=[layout.POSITIONS],
                args=[
                    str(batch.partition),
                    batch.begins_at,
                    batch.reached.topic_id or _UNKNOWN,
                    _text(batch.reached),
                    *self._bounds,
                    msgspec.msgpack.encode(facts),
                    self._secret,
                ],
            )
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        await self._valkey.aclose()


def connect(url: Secret) -> Valkey:
    """
    Return a client that connects when it is used.

    Each call has a connection of its own, from a pool without a bound or a lock, so a call that
    hangs does not delay others. `answering` bounds the time of a call.
    """
    client: Valkey = Valkey.from_url(
        url, socket_timeout=STEP_S, socket_connect_timeout=STEP_S, socket_keepalive=True
    )
    return client


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Time out after ANSWER_S, and raise Unavailable for errors that mean "not now"."""
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError as error:
        raise Unavailable(f"Valkey: no answer within {ANSWER_S:g} s") from error
    except (exceptions.ValkeyError, OSError) as error:
        if isinstance(error, _NOT_NOW) or str(error).startswith(_NOT_NOW_ANSWERS):
            raise Unavailable(f"Valkey: {error}") from error
        raise


def _text(position: Position) -> str:
    """Return the position as Valkey stores it: next offset, topic id, then the last record."""
    last = position.last or (_UNKNOWN, _UNKNOWN, _UNKNOWN)
    offset, origin, sequence = last
    # The origin comes last: it may contain spaces if no ingress wrote the record.
    return f"{position.next_offset} {position.topic_id or _UNKNOWN} {offset} {sequence} {origin}"


def _position(text: bytes) -> Position:
    if text.count(b" ") < _POSITION_SPACES:
        raise Stopped(
            f"The position {text!r} in {layout.POSITIONS} was written by another version, so its "
            "topic is not known. Empty Valkey and build the counts again: start the process once "
            "with CONSUMER_REBUILD=true"
        )
    next_offset, topic_id, offset, sequence, origin = text.decode().split(" ", 4)
    return Position(
        int(next_offset),
        None if offset == _UNKNOWN else (int(offset), origin, int(sequence)),
        None if topic_id == _UNKNOWN else topic_id,
    )


def _torn(partition: Partition) -> Stopped:
    return Stopped(
        f"A call of the counting script ended half-way, so the counts of {partition} may be wrong. "
        "Another program writes to these keys, or Valkey failed within a script: see its log. "
        "Restore an older copy of Valkey, or empty it and start the process once with "
        "CONSUMER_REBUILD=true"
    )


def _origins(parsed: Iterable[Callback]) -> list[tuple[str, int, int]]:
    """Return for each origin the number of its sequences, and their sum."""
    sequences: dict[str, list[int]] = defaultdict(list)
    for callback in parsed:
        sequences[callback.event.origin].append(callback.event.sequence)
    return [
        (origin, len(each), sum(each) % layout.SUM_MODULUS) for origin, each in sequences.items()
    ]


def _facts(parsed: Iterable[Callback], secret: bytes) -> list[tuple[Any, ...]]:
    """Return for each callback the values that the script counts, in the order of its `unpack`."""
    facts = []
    for event, document in ((callback.event, callback.document) for callback in parsed):
        kinds, accounts = statistic(event.command, event.opt_platform, document)
        people = [_short(account) for account in accounts]
        facts.append(
            (
                event.sdkappid,
                event.command,
                windows(event, document),
                hash_of(event.id, secret),
                kinds,
                layout.hour_of(event.received_at),
                f"{event.received_at:%M}",
                people,
                [hash_of(account, secret) for account in people],
            )
        )
    return facts


def hash_of(text: str, secret: bytes) -> str:
    """
    Return 63 bits of `text` in decimal, as hash_set.lua keeps them.

    Without the secret, a sender cannot make two texts with one hash, which would count as one.
    """
    digest = hashlib.blake2b(text.encode(), key=secret, digest_size=8).digest()
    return str(int.from_bytes(digest) >> 1)


def windows(event: Event, document: Mapping[str, Any]) -> list[int]:
    """
    Return the hours, since 1970, in which an id may be remembered; it is added to the first.

    A plausible time of the message gives the hour: a repeat that arrives hours later, out of an
    adopted spool, has the same. Otherwise it is the hour of receipt, and a repeat is found if it
    was received up to REPEATED_WITHIN before or after. Near the bounds of plausible times, a repeat
    may be outside of them, so all of these hours are searched.

    An id that names the place of storage has no hours: no other callback has it.
    """
    if event.id == place_id(event.origin, event.sequence):
        return []
    # Two callbacks of one message may differ in EventTime.
    is_message = COMMANDS.get(event.command, UNKNOWN).identity == "message"
    sent = sent_at({"MsgTime": document.get("MsgTime")} if is_message else document)
    received = _hour(event.received_at)
    by_receipt = [received, received - 1, received + 1]
    if sent is None:
        return by_receipt
    ahead = sent - event.received_at
    if REPEATED_WITHIN - OLDEST < ahead < NEWEST - REPEATED_WITHIN:
        return [_hour(sent)]
    if -OLDEST <= ahead <= NEWEST:
        return [_hour(sent), *by_receipt]
    return [*by_receipt, _hour(sent)]


def _hour(at: datetime) -> int:
    return int(at.timestamp() // HOUR_S)


def _short(account: str) -> str:
    # Accounts are short in practice; a body may hold a long text instead: its digest replaces it.
    if len(account) <= ACCOUNT_LENGTH_MAX:
        return account
    return hashlib.sha256(account.encode()).hexdigest()
