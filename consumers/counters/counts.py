"""
Write the counts to Valkey: one call of a script for each batch moves totals and position together.

Valkey runs no other command during a script, and writes all its effects into the append-only file,
or none. After a crash, Valkey may have lost the last second: totals and position together. The
consumer then continues from that position.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import msgspec
from valkey import exceptions
from valkey.asyncio import Valkey

from consumers.counters import old_layout as layout
from consumers.counters.script_input import script_input
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.callbacks import Callback, callbacks
from consumers.runtime.handler import Elsewhere, Stopped, Unavailable
from schemas.setting import Format, Secret

VALKEY_URL = Format(
    "a URL like valkey://:password@host:6379/0",
    re.compile(r"(valkey|redis)s?://[^/?]+(/\d*)?(\?.*)?").fullmatch,
)
# Time-out of each step of a call: connecting, each write and each read.
STEP_S = 5.0
# Time-out of a whole call, well below the runtime's HANDLE_S.
ANSWER_S = 8.0
_SCRIPT = "".join(
    files(__package__).joinpath(name).read_text() for name in ("hash_set.lua", "apply.lua")
)
_OTHER_SECRET = b"secret "
# The spaces between the five parts of a position; the last part may have more.
_POSITION_SPACES = 4
# Placeholder in a position for an unknown value.
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
        async with answering():
            outcome: bytes | None = await self._script(
                keys=[layout.POSITIONS],
                args=[
                    str(batch.partition),
                    batch.begins_at,
                    batch.reached.topic_id or _UNKNOWN,
                    _text(batch.reached),
                    *self._bounds,
                    msgspec.msgpack.encode(script_input(parsed, self._secret)),
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
