"""The connections of the public port, whatever their peers do and whenever a commit ends."""

import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support.connections.jumping_loop import JumpingLoop
from support.connections.world import World


def test_every_connection_ends_and_every_request_gets_its_own_answer(
    tmp_path: Path,
    scaled: Callable[..., int],
    say: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Also with ends of streams, resets, slow bodies, unread answers and draining at any moment.

    A connection never waits without a bound, reading is paused only while a callback is stored, and
    no connection is left in the end. A peer that does no harm gets an answer to each request; if it
    has sent too many ahead, to the first ones, and the rest is not stored.
    """
    seeds = scaled(120)
    peers = stored = answered = 0
    for seed in range(seeds):
        loop = JumpingLoop()
        sent_ahead_max = 64 << 10 if seed % 4 else 300
        monkeypatch.setattr("ingress.http.connection.PIPELINED_BYTES_MAX", sent_ahead_max)

        async def run(seed: int = seed, loop: JumpingLoop = loop) -> World:
            world = World(loop, random.Random(seed), tmp_path)  # noqa: S311 - a simulation
            await world.run()
            return world

        try:
            world = loop.run_until_complete(run())
            assert not loop.complaints
            assert not [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
        except BaseException as failure:
            failure.add_note(f"seed {seed}")
            raise
        finally:
            loop.close()
        peers += len(world.wires)
        stored += len(world.receiver.stored)
        answered += world.answered
    say(f"{seeds} seeds: {peers} connections, {stored} callbacks stored, {answered} answers")
