"""
Only one rebuild at a time: a key in Valkey that its process renews.

Two rebuilds would count each record once, because each call compares the position. But each of them
removes the keys of generations that it does not know, such as one that the other has just begun.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from valkey import exceptions
from valkey.asyncio import Valkey
from valkey.asyncio.lock import Lock

from consumers.counters import layout
from consumers.counters.server import answering
from consumers.runtime.handler import Unavailable
from ops.failure import Failure
from ops.terminal import say
from schemas.clients import check_cancellation

KEY = layout.PREFIX + "rebuilder"
# A process that was killed holds the lock for so long. Another one waits for that.
LOCK_S = 10.0
RENEW_INTERVAL_S = 3.0


class AnotherRebuild(Failure):
    """Another process rebuilds the counts in this Valkey."""


@asynccontextmanager
async def only_rebuild(valkey: Valkey) -> AsyncIterator[None]:
    """
    Hold the lock; if another process has it, wait for LOCK_S: that process may have been killed.

    Raises:
        AnotherRebuild: another process has the lock and runs, or has taken the lock meanwhile.
        Unavailable: Valkey does not answer.
    """
    owner = f"pid {os.getpid()} on {socket.gethostname()} ({secrets.token_hex(4)})"
    lock = Lock(valkey, KEY, timeout=LOCK_S)
    await _take(lock, owner)
    holding, task = asyncio.current_task(), asyncio.create_task(_renew(lock, owner))
    # The rebuild must not go on without the lock.
    task.add_done_callback(lambda done: done.cancelled() or (holding and holding.cancel()))
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and holding is not None:
            holding.uncancel()
            raise AnotherRebuild(
                "another rebuild has begun while Valkey was away; it continues from where this one "
                "was, so this one ends"
            ) from None
        raise
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(Unavailable, exceptions.LockNotOwnedError):
            async with answering():
                await lock.release()


async def _take(lock: Lock, owner: str) -> None:
    deadline = time.monotonic() + LOCK_S + RENEW_INTERVAL_S
    is_said = False
    while not await _is_ours(lock, owner):
        async with answering():
            holder: bytes | None = await lock.valkey.get(KEY)
        other_owner = (holder or b"a process that has just ended").decode("utf-8", "replace")
        if time.monotonic() > deadline:
            raise AnotherRebuild(
                f"another rebuild of these counts runs: {other_owner}. Nothing was changed. Wait "
                "until it has ended; or end it, then run the command again: it continues"
            )
        if not is_said:
            say(
                f"another rebuild has the lock ({other_owner}); if it was killed, "
                f"this takes {LOCK_S:g} s"
            )
            is_said = True
        await asyncio.sleep(1.0)


async def _renew(lock: Lock, owner: str) -> None:
    """Renew the lock until another process has it."""
    is_ours = True
    while is_ours:
        check_cancellation()
        await asyncio.sleep(RENEW_INTERVAL_S)
        with suppress(Unavailable):
            is_ours = await _is_ours(lock, owner)


async def _is_ours(lock: Lock, owner: str) -> bool:
    """Renew the lock, or take it if no process has it; return whether this process has it now."""
    async with answering():
        try:
            is_ours: bool = await lock.reacquire()
        except exceptions.LockError:
            # Not taken yet, or expired while Valkey was away.
            is_ours = await lock.acquire(blocking=False, token=owner)
    return is_ours
