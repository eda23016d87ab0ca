"""Generations of the counts in Valkey: begin a new one, serve it, remove the others."""

import asyncio
import re
from collections.abc import Mapping

from valkey.asyncio import Valkey

from consumers.counters import layout
from consumers.counters.position_text import position_of, position_text
from consumers.counters.server import GENERATION, answering, generation_of
from consumers.runtime.batch import Partition, Position
from ops.failure import Failure
from schemas.clients import check_cancellation

# Keys that one step of a removal looks at, and the pause after it.
KEYS_A_STEP = 500
STEP_PAUSE_S = 0.01
_OF_GENERATION = re.compile(rb"hookline:([1-9][0-9]*):")

# Serve the generation that is being rebuilt, unless another process has ended the rebuild.
_SERVE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
"""
# Begin a generation with the secret of the served one: the same people have the same hashes then.
_BEGIN = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local secret = redis.call('GET', KEYS[2])
if secret then redis.call('SET', KEYS[3], secret) end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class OddGeneration(Failure):
    """The key that names the generation of a rebuild has something else."""


class Generations:
    """
    The generations in one Valkey.

    Every method raises Unavailable if Valkey does not answer.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def served(self) -> int:
        """Return the generation that is served and counted into."""
        async with answering():
            stored: bytes | None = await self._valkey.get(layout.GENERATION)
        return generation_of(stored)

    async def rebuilding(self) -> int | None:
        """
        Return the generation of a rebuild that has not ended, None if there is none.

        Raises:
            OddGeneration: the key has another text, which no process writes.
        """
        async with answering():
            stored: bytes | None = await self._valkey.get(layout.REBUILDING)
        if stored is None:
            return None
        if not GENERATION.fullmatch(stored):
            raise OddGeneration(
                f"the key {layout.REBUILDING} in Valkey has {stored!r:.50}, not a generation. "
                f"Remove it with: valkey-cli DEL {layout.REBUILDING}; then run the command again"
            )
        return int(stored)

    async def begin(self) -> int:
        """Begin a generation, or return the one that is being rebuilt."""
        served_generation = await self.served()
        async with answering():
            await self._valkey.eval(  # type: ignore[misc]  # typed for both of its clients
                _BEGIN,
                3,
                layout.REBUILDING,
                layout.secret(served_generation),
                layout.secret(served_generation + 1),
                str(served_generation + 1),
            )
        return await self.rebuilding() or served_generation + 1

    async def positions(self, generation: int) -> Mapping[Partition, Position]:
        """
        Return the positions of a generation.

        Raises:
            Stopped: one of them cannot be continued; the text says why and what to do.
        """
        async with answering():
            stored: dict[bytes, bytes] = await self._valkey.hgetall(layout.positions(generation))  # type: ignore[misc]  # as above
        positions = {}
        for name, text in stored.items():
            topic, _, number = name.decode().rpartition("/")
            partition = Partition(topic, int(number))
            positions[partition] = position_of(text, partition)
        return positions

    async def begin_partition(
        self, generation: int, partition: Partition, position: Position
    ) -> None:
        """Store the first position of a partition; a stored one stays."""
        async with answering():
            await self._valkey.hsetnx(  # type: ignore[misc]  # as above
                layout.positions(generation), str(partition), position_text(position)
            )

    async def serve(self, generation: int) -> bool:
        """Have `generation` served and counted into; return False if it is not being rebuilt."""
        async with answering():
            done: int = await self._valkey.eval(  # type: ignore[misc]  # as above
                _SERVE, 2, layout.GENERATION, layout.REBUILDING, str(generation)
            )
        return done == 1

    async def give_up(self) -> None:
        """End a rebuild that has not ended: nothing counts into its generation any more."""
        async with answering():
            await self._valkey.delete(layout.REBUILDING)

    async def remove_others(self) -> int:
        """Remove the keys of all generations that are neither served nor being rebuilt."""
        kept_generations = {await self.served(), await self.rebuilding()}
        removed, cursor = 0, 0
        while True:
            check_cancellation()
            async with answering():
                cursor, keys = await self._valkey.scan(
                    cursor, match=layout.PREFIX + "[1-9]*", count=KEYS_A_STEP
                )
            if old := [key for key in keys if _generation_of(key) not in kept_generations | {0}]:
                async with answering():
                    removed += await self._valkey.unlink(*old)
            if not cursor:
                return removed
            await asyncio.sleep(STEP_PAUSE_S)


def _generation_of(key: bytes) -> int:
    match = _OF_GENERATION.match(key)
    return int(match[1]) if match else 0
