"""
Tasks end when they are cancelled, also if a library swallows the cancellation.

Until Python 3.12, `asyncio.wait_for` drops a cancellation that comes together with the result.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from consumers.stats.live import Live
from consumers.sync import maintenance
from ops.counters import lock
from schemas.setting import Secret

Loop = Callable[[], Coroutine[Any, Any, None]]


class Library:
    """A call of a library that swallows the first cancellation and returns."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def call(self, *_: object) -> None:
        """Return when it is cancelled."""
        self.called.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """Return a library that the loops call."""
    made = Library()

    async def is_ours(*_: object) -> bool:
        await made.call()
        return True

    monkeypatch.setattr(maintenance, "maintain", made.call)
    monkeypatch.setattr(maintenance, "INTERVAL_S", 0.0)
    monkeypatch.setattr(lock, "_is_ours", is_ours)
    monkeypatch.setattr(lock, "RENEW_INTERVAL_S", 0.0)
    monkeypatch.setattr("consumers.stats.live.UPDATE_S", 0.0)
    return made


def live_updates(library: Library) -> Loop:
    """Return the loop of the statistics API that asks Valkey for the live counts."""

    class Counts:
        async def added(self, _: object) -> None:
            await library.call()

    return Live(cast("Any", Counts()), None, lambda: None).run


@pytest.mark.parametrize("name", ["live updates", "maintenance of tables", "lock of a rebuild"])
async def test_a_loop_ends_though_a_library_swallows_its_cancellation(
    library: Library, name: str
) -> None:
    """Else the process would not end at SIGTERM."""
    loops: dict[str, Loop] = {
        "live updates": live_updates(library),
        "maintenance of tables": lambda: maintenance.maintain_until_cancelled(Secret("")),
        "lock of a rebuild": lambda: lock._renew(cast("Any", None), ""),  # noqa: SLF001
    }
    running = asyncio.create_task(loops[name]())
    async with asyncio.timeout(180):
        await library.called.wait()
    running.cancel()
    done, _ = await asyncio.wait((running,), timeout=180)
    running.cancel()
    assert done
    assert running.cancelled()
