"""
Write the counts to Valkey: each call of a script moves totals and position together.

A batch is one call, or several if it costs much; each call moves the position to its own end.

Valkey runs no other command during a script, and writes all its effects into the append-only file,
or none. After a crash, Valkey may have lost the last second: totals and position together. The
consumer then continues from that position.
"""

import secrets
import time
from collections.abc import Sequence
from importlib.resources import files

import msgspec

from consumers.counters import layout
from consumers.counters.already_counted import AlreadyCounted
from consumers.counters.batch_ids import SearchedId, searched_id
from consumers.counters.batch_sums import BatchSums
from consumers.counters.bounds import Bounds
from consumers.counters.countable_callback import CallbackReader, CountableCallback
from consumers.counters.hashes import Hashes
from consumers.counters.keep_times import store_keep_times
from consumers.counters.position_text import UNKNOWN, position_of, position_text
from consumers.counters.server import answering, connect, generation_of, refuse_unsuitable
from consumers.counters.zones import Zones
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import PositionDiffers, Stopped
from schemas.callback_record import place
from schemas.setting import Secret

_SCRIPT = "".join(
    files(__package__).joinpath(name).read_text() for name in ("hash_set.lua", "apply.lua")
)
# The positions that checkouts before 0.1.0 wrote; their keys have no generation.
_OLD_POSITIONS = layout.PREFIX + "positions"


class CountersHandler:
    """A handler: counts in one Valkey. It connects on first use, and again after a failure."""

    def __init__(
        self,
        url: Secret,
        bounds: Bounds,
        zones: Zones,
        *,
        generation_key: str = layout.GENERATION,
    ) -> None:
        # The key that has the generation to count into. A rebuild has one of its own.
        self._generation_key = generation_key
        self._valkey = connect(url)
        self._script = self._valkey.register_script(_SCRIPT)
        self._bounds = bounds
        self._zones = zones
        self._reader = CallbackReader()
        self._already_counted = AlreadyCounted()
        self._generation = layout.FIRST_GENERATION
        # Valkey keeps the first secret that a process sends; all processes use that secret.
        self._hashes = Hashes(secrets.token_hex(16).encode())
        self._is_checked = False

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the position that is stored for `partition`, None if there is none.

        Also store what is kept and for how long, if this process has other settings.

        Raises:
            Unavailable: Valkey does not answer, or names no generation.
            Stopped: an earlier call of the script ended half-way, or Valkey would lose counts.
        """
        # Another member may have had the partition: see consumers/counters/already_counted.py.
        self._already_counted.forget()
        async with answering():
            if not self._is_checked:
                await refuse_unsuitable(self._valkey)
                self._is_checked = True
            key = self._generation_key
            self._generation = generation_of(await self._valkey.get(key), key)
            stored_text: bytes | None = await self._valkey.hget(  # type: ignore[misc]  # typed for both of its clients
                layout.positions(self._generation), str(partition)
            )
            # A later generation was counted by a rebuild, which does not need the old counts.
            is_first = self._generation == layout.FIRST_GENERATION
            if stored_text is None and is_first and await self._valkey.exists(_OLD_POSITIONS):
                raise Stopped(
                    "Valkey has counts of an earlier version (before 0.1.0, in keys like "
                    f"{_OLD_POSITIONS}), which this one does not continue. Count all callbacks "
                    "again with: hookline counters rebuild --yes. Or set COUNTERS_VALKEY to an "
                    "empty Valkey, and start the process once with CONSUMER_REBUILD=true"
                )
            if stored_text is not None:
                await self._store_keep_times()
        return None if stored_text is None else position_of(stored_text, partition)

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """
        Store `position` if the partition has none yet; a stored position stays.

        Raises:
            Unavailable: Valkey does not answer.
        """
        key = layout.positions(self._generation)
        async with answering():
            await self._store_keep_times()
            await self._valkey.hsetnx(key, str(partition), position_text(position))  # type: ignore[misc]  # as above

    async def _store_keep_times(self) -> None:
        """Store what is kept and for how long, if this process has other settings than stored."""
        await store_keep_times(self._valkey, self._generation, self._bounds, int(time.time()))

    async def handle(self, batch: Batch) -> None:
        """
        Count the batch and move the position.

        A batch that would keep Valkey busy for long is counted in several calls. Each of them moves
        the position to its own end.

        Raises:
            Rejected: one record is not a callback; nothing was counted.
            PositionDiffers: the batch does not follow the position; nothing more was counted.
            Unavailable: Valkey did not answer; it may have applied all or nothing of a call.
            Stopped: an earlier call of the script ended half-way, or another setting is in force.
        """
        callbacks = self._reader.read(batch.records)
        index, begins_at = 0, batch.begins_at
        while True:
            index, begins_at = await self._count_part(batch, callbacks, index, begins_at)
            if index == len(callbacks):
                return

    async def _count_part(
        self, batch: Batch, callbacks: Sequence[CountableCallback], first_index: int, begins_at: int
    ) -> tuple[int, int]:
        """
        Count callbacks from `first_index` on, as many as one call of the script may have.

        If the call finds remembered ids, nothing is counted, and the same callbacks are sent again:
        repeats cost nothing, and further callbacks in their place could be repeats, too.

        Return the index and the offset at which the next call begins.
        """
        repeats: set[SearchedId] = set()
        end_index = len(callbacks)
        while True:
            sums = BatchSums(
                self._generation, self._bounds, self._zones, self._hashes, self._already_counted
            )
            end_index = sums.add(callbacks, first_index, end_index, repeats)
            reached = (
                batch.reached if end_index == len(callbacks) else _position_after(batch, end_index)
            )
            try:
                outcome = await self._apply(batch.partition, begins_at, reached, sums)
                if outcome == b"applied":
                    sums.note_counted()
                    return end_index, reached.next_offset
                numbers = await self._continue_after(outcome, batch.partition)
                repeats.update(searched_id(callbacks[number]) for number in numbers)
            except BaseException:
                # Also if this call was cancelled: it is unknown whether Valkey applied it.
                self._already_counted.forget()
                raise

    async def _apply(
        self, partition: Partition, begins_at: int, reached: Position, sums: BatchSums
    ) -> bytes | None:
        async with answering():
            outcome: bytes | None = await self._script(
                keys=[layout.positions(self._generation), self._generation_key],
                args=[
                    str(partition),
                    begins_at,
                    reached.topic_id or UNKNOWN,
                    position_text(reached),
                    self._generation,
                    self._hashes.secret,
                    msgspec.msgpack.encode(sums.script_input()),
                ],
            )
        return outcome

    async def _continue_after(self, outcome: bytes | None, partition: Partition) -> list[int]:
        """
        Prepare another call after one that was not applied, if there can be one.

        Return the indexes of the callbacks whose ids Valkey remembers.

        Raises:
            PositionDiffers, Stopped: as `handle`.
        """
        reason, _, detail = (outcome or b"").partition(b" ")
        match reason:
            case b"":
                raise PositionDiffers(None)
            case b"repeats":
                return [int(number) for number in detail.split()]
            case b"secret":
                self._hashes = Hashes(detail)
                self._already_counted.forget()
                return []
            case b"generation":
                raise PositionDiffers(await self.position(partition))
            case b"zone":
                app, _, counted_zone = detail.decode().partition(" ")
                raise _other_zone(app, counted_zone, self._zones.of(app))
            case _:
                raise PositionDiffers(position_of(outcome or b"", partition))

    async def close(self) -> None:
        """Close the connections."""
        await self._valkey.aclose()


def _position_after(batch: Batch, record_count: int) -> Position:
    """Return the position after the first `record_count` records of a batch."""
    last = batch.records[record_count - 1]
    return Position(last.offset + 1, (last.offset, *place(last.headers)), batch.reached.topic_id)


def _other_zone(app: str, counted_zone: str, zone: str) -> Stopped:
    return Stopped(
        f"The days of the app {app} are counted in the time zone {counted_zone}, and this process "
        f"has {zone}. Set COUNTERS_ZONE or COUNTERS_ZONES back to {counted_zone} for this app; for "
        "days of another zone, count again with that setting: hookline counters rebuild"
    )
