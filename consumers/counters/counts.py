"""
The Valkey side: one call of one script a batch, which moves totals and position together.

Valkey runs a script alone and writes it into its append-only file whole. After a crash it may stand
a second behind Kafka; then its position went back with its totals, and the consumer follows.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import msgspec
from valkey import exceptions
from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.callbacks import Callback, callbacks
from consumers.runtime.handler import Elsewhere, Stopped, Unavailable
from schemas.event import Event
from schemas.identity import parties
from schemas.message import sent_at
from schemas.payload import GroupMessage, Message
from schemas.settings import Secret

URL = re.compile(r"(valkey|redis)s?://[^/?]+(/\d*)?(\?.*)?")
CALL_S = 5.0
ACCOUNT_LETTERS_MAX = 128
KINDS = {Message.COMMAND: layout.MESSAGES, GroupMessage.COMMAND: layout.GROUP_MESSAGES}

_SCRIPT = files(__package__).joinpath("apply.lua").read_text()
# What says "not now"; any other refusal of a command is a bug.
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
    """A handler: counts in one Valkey. Connects when first asked, and again after a failure."""

    def __init__(
        self, url: Secret, *, remember_s: int, keep_minutes_s: int, people_exact_max: int
    ) -> None:
        self._valkey = connect(url)
        self._script = self._valkey.register_script(_SCRIPT)
        self._bounds = (remember_s, keep_minutes_s, people_exact_max)

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the offset that is expected next and the last record, None if there is none.

        Raises:
            Unavailable: Valkey does not answer.
            Stopped: a call of the script ended half-way.
        """
        async with answering():
            found: bytes | None = await self._valkey.hget(layout.POSITIONS, str(partition))  # type: ignore[misc]  # typed for both of its clients
        if found is None:
            return None
        next_offset, offset, place = found.decode().split(" ", 2)
        if not next_offset.isdigit():
            raise _torn(partition)
        if not offset.isdigit():
            return Position(int(next_offset))
        origin, _, sequence = place.rpartition(" ")
        return Position(int(next_offset), (int(offset), origin, int(sequence)))

    async def begin(self, partition: Partition, next_offset: int) -> None:
        """
        Expect `next_offset` of a partition without a position; another position stays.

        Raises:
            Unavailable: Valkey does not answer.
        """
        async with answering():
            await self._valkey.hsetnx(layout.POSITIONS, str(partition), f"{next_offset} - -")  # type: ignore[misc]  # as above

    async def handle(self, batch: Batch) -> None:
        """
        Count the batch and move the position.

        Raises:
            Rejected: one record is no callback; nothing was counted.
            Elsewhere: the position is not the one where the batch begins; nothing was counted.
            Unavailable: Valkey did not answer; it may have applied all or nothing.
            Stopped: an earlier call of the script ended half-way.
        """
        told = list(callbacks(batch))
        last = told[-1].event if told else None
        place = f"{batch.records[-1].offset} {last.origin} {last.sequence}" if last else ""
        async with answering():
            stands_at = await self._script(
                keys=[layout.POSITIONS],
                args=[
                    str(batch.partition),
                    batch.begins_at,
                    batch.next_offset,
                    place,
                    *self._bounds,
                    msgspec.msgpack.encode({"origins": _origins(told), "callbacks": _facts(told)}),
                ],
            )
        if stands_at == b"torn":
            raise _torn(batch.partition)
        if stands_at != b"applied":
            raise Elsewhere(stands_at)

    async def close(self) -> None:
        """Close the connections."""
        await self._valkey.aclose()


def connect(url: Secret) -> Valkey:
    """Return a client that connects when it is used. Calls are given up after CALL_S."""
    client: Valkey = Valkey.from_url(
        url, socket_timeout=CALL_S, socket_connect_timeout=CALL_S, socket_keepalive=True
    )
    return client


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Turn Valkey's ways to say "not now" into Unavailable."""
    try:
        yield
    except (exceptions.ValkeyError, OSError) as error:
        if isinstance(error, _NOT_NOW) or str(error).startswith(_NOT_NOW_ANSWERS):
            raise Unavailable(f"Valkey: {error}") from error
        raise


def _torn(partition: Partition) -> Stopped:
    return Stopped(
        f"A call of the counting script ended half-way, so the counts of {partition} are not to be "
        "trusted. Somebody else writes to these keys, or Valkey failed within a script; its log "
        "tells. Put Valkey back to an older copy, or empty it and start the process once with "
        "CONSUMER_REBUILD=true"
    )


def _origins(told: Iterable[Callback]) -> list[tuple[str, int, int]]:
    """Return per origin how many sequences come, and their sum."""
    sequences: dict[str, list[int]] = defaultdict(list)
    for callback in told:
        sequences[callback.event.origin].append(callback.event.sequence)
    return [
        (origin, len(each), sum(each) % layout.SUM_MODULUS) for origin, each in sequences.items()
    ]


def _facts(told: Iterable[Callback]) -> list[tuple[Any, ...]]:
    """Return what the script counts of each callback, in the order in which it unpacks it."""
    facts = []
    for event, document in ((callback.event, callback.document) for callback in told):
        who = parties(document)
        facts.append(
            (
                event.sdkappid,
                event.command,
                _window(event, document),
                event.id,
                KINDS.get(event.command, ""),
                layout.hour_of(event.received_at),
                f"{event.received_at:%M}",
                [_short(account) for account in (who.sender, who.recipient) if account],
            )
        )
    return facts


def _window(event: Event, document: Mapping[str, Any]) -> str:
    """
    Return where an id is remembered: a function of what was sent alone.

    By the message's time, not of its receipt: a repeat may arrive hours later, out of an adopted
    spool. Without a time, by the id.
    """
    at = sent_at(document)
    return f"timeless-{event.id[:2]}" if at is None else layout.hour_of(at)


def _short(account: str) -> str:
    # Accounts are short in practice; what a body may hold in their place is kept as its digest.
    if len(account) <= ACCOUNT_LETTERS_MAX:
        return account
    return hashlib.sha256(account.encode()).hexdigest()
