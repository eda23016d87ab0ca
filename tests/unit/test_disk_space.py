"""The free space of a disk is known, or not known; a disk that hangs keeps nothing waiting."""

import asyncio
import math
import shutil
import threading
from pathlib import Path

from consumers.archive.consumer import ARCHIVE
from consumers.runtime.handler import MeasuringHandler, SinkState
from schemas.disk_space import DiskSpace
from schemas.telemetry import CONSUMER_METRICS


async def test_the_free_space_is_that_of_the_file_system(tmp_path: Path) -> None:
    """Other processes write meanwhile, so it is nearly the same."""
    free = await DiskSpace(tmp_path).free()
    assert free is not None
    assert abs(free - shutil.disk_usage(tmp_path).free) < 1 << 30


async def test_a_disk_that_hangs_is_asked_once_and_answers_later(tmp_path: Path) -> None:
    """Meanwhile its space is not known, the loop turns, and no second thread waits."""
    hangs, asked = threading.Event(), list[Path]()

    def statvfs(path: Path) -> int:
        asked.append(path)
        hangs.wait(180)
        return 7

    disk = DiskSpace(tmp_path, statvfs)
    before = set(threading.enumerate())
    turns = asyncio.create_task(asyncio.sleep(0))
    assert await asyncio.gather(*(disk.free() for _ in range(5))) == [None] * 5
    assert turns.done()
    assert await disk.free() is None
    assert (len(asked), len(set(threading.enumerate()) - before)) == (1, 1)
    hangs.set()
    async with asyncio.timeout(180):
        while (free := await disk.free()) is None:  # noqa: ASYNC110 - asked until it is known
            await asyncio.sleep(0)
    assert free == 7


async def test_a_directory_that_is_gone_has_no_known_space(tmp_path: Path) -> None:
    """The archive shows NaN, not the last number."""
    directory = tmp_path / "archive"
    async with ARCHIVE.open(ARCHIVE.settings(url=str(directory))) as (handler, _):
        assert isinstance(handler, MeasuringHandler)
        state = await handler.measure(None)
        assert state.disk_free_bytes
        assert CONSUMER_METRICS.get_sample_value("archive_disk_free_bytes") == state.disk_free_bytes
        directory.rmdir()
        assert await handler.measure(None) == SinkState()
        assert math.isnan(CONSUMER_METRICS.get_sample_value("archive_disk_free_bytes") or 0.0)
