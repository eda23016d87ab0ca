"""Expiry deletes only the oldest segments, never the last one; the chain records the deletion."""

import contextlib
import os
from datetime import timedelta
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archive.archives import FIRST_MS, HOUR_MS, ORIGIN, WrittenArchive, numbered, parts_of
from support.builders import P0, P1
from support.tiers import scaled

from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable
from ops.archive import expire
from ops.archive.expire_command import AGE
from ops.archive.verify import VerifyResult, verify


def nothing() -> None:
    """Ignore the progress."""


async def planned(
    written: WrittenArchive, *, log_start: int, before_ms: int
) -> list[expire.StoredSegment]:
    """Return the segments that would expire if Kafka's log began at `log_start`."""

    async def kafka(partitions: list[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, log_start)

    going = await expire.plan(written.store, log_starts=kafka, before_ms=before_ms, step=nothing)
    return going.get(P0, [])


async def verified(written: WrittenArchive) -> VerifyResult:
    """Return what verify finds."""
    return await verify(written.store, wait_s=0, listed=lambda _: None, step=nothing)


# 4 segments of 4 records and a marker each: they end before offsets 5, 10, 15 and 20.
@pytest.mark.parametrize(
    ("log_start", "hours", "going"),
    [
        (20, 99, 3),  # the last one stays
        (15, 99, 3),
        (14, 99, 2),  # its marker is in Kafka
        (4, 99, 0),
        (0, 99, 0),
        (20, 2, 2),  # the third is of the third hour
        (20, 0, 0),
        (10, 1, 1),
    ],
)
async def test_old_segments_that_kafka_does_not_have_are_deleted(
    tmp_path: Path, log_start: int, hours: int, going: int
) -> None:
    """Both must be true of the whole segment; the chain's beginning goes with the first one."""
    written = WrittenArchive(tmp_path)
    names = await written.fill(4)
    (beginning, *_) = await written.store.names(P0)
    expiring = await planned(written, log_start=log_start, before_ms=FIRST_MS + hours * HOUR_MS)
    assert [each.name for each in expiring] == ([beginning, *names[:going]] if going else [])


async def test_an_old_segment_after_a_younger_one_stays(tmp_path: Path) -> None:
    """So a broker's clock that was set back does not cause a gap."""
    written = WrittenArchive(tmp_path)
    await written.append(numbered(1, at_ms=FIRST_MS + 9 * HOUR_MS))
    await written.append(numbered(2, at_ms=FIRST_MS))
    await written.append(numbered(3, at_ms=FIRST_MS + 9 * HOUR_MS))
    assert await planned(written, log_start=99, before_ms=FIRST_MS + HOUR_MS) == []


async def test_a_segment_that_was_stored_recently_stays(tmp_path: Path) -> None:
    """It may have old records; but a stalled writer may still try to write the same segment."""
    written = WrittenArchive(tmp_path)
    names = await written.fill(4)
    os.utime(written.path(names[1]))
    expiring = await planned(written, log_start=99, before_ms=FIRST_MS + 99 * HOUR_MS)
    assert [each.name for each in expiring[1:]] == names[:1]


class Dying(SegmentStore):
    """A store that fails after `calls` more calls that change it."""

    def __init__(self, store: SegmentStore, calls: int) -> None:
        super().__init__(*parts_of(store))
        self._calls = calls

    def _call(self) -> None:
        self._calls -= 1
        if self._calls < 0:
            raise Unavailable("dead")

    async def create(self, name: str, content: bytes) -> None:
        """Create, or die."""
        self._call()
        await super().create(name, content)

    async def delete(self, name: str) -> None:
        """Delete, or die."""
        self._call()
        await super().delete(name)


@settings(max_examples=scaled(15))
@given(
    st.lists(st.tuples(st.integers(0, 35), st.integers(0, 8), st.integers(0, 8)), max_size=4),
    st.integers(2, 6),
)
async def test_a_chain_is_sound_wherever_expiry_dies(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, int, int]], segments: int
) -> None:
    """The archive ends where it ended, and the deleted sequences are expired, not absent."""
    written = WrittenArchive(tmp_path_factory.mktemp("archive"))
    names = await written.fill(segments)
    position = await written.handler.position(P0)
    for log_start, hours, calls in runs:
        going = await planned(written, log_start=log_start, before_ms=FIRST_MS + hours * HOUR_MS)
        with contextlib.suppress(Unavailable):
            if going:
                await expire.delete(Dying(written.store, calls), going, nothing)
        assert await written.handler.position(P0) == position
        verification = await verified(written)
        assert (verification.faults, verification.sound, verification.absent) == ([], True, 0)
    assert names[-1] in await written.store.names(P0)
    await written.append(numbered(segments * 4 + 1, at_ms=FIRST_MS + 99 * HOUR_MS))
    assert (await verified(written)).sound
    # A last run without a failure completes all partial deletions: one beginning and the last
    # segment remain.
    going = await planned(written, log_start=99, before_ms=FIRST_MS + 50 * HOUR_MS)
    if going:
        await expire.delete(written.store, going, nothing)
    assert await planned(written, log_start=99, before_ms=FIRST_MS + 50 * HOUR_MS) == []
    beginning, last = await written.store.names(P0)
    summary = await written.store.summary(beginning)
    assert summary.next_offset == (await written.store.summary(last)).begins_at
    assert summary.origins == {ORIGIN: (1, segments * 4)}
    assert (await verified(written)).sound


async def test_expired_sequences_are_not_absent(tmp_path: Path) -> None:
    """This holds even if another partition keeps an older one; lost sequences are absent."""
    written = WrittenArchive(tmp_path)
    await written.append(numbered(1, at_ms=FIRST_MS + 60 * HOUR_MS), partition=P1)
    await written.append(numbered(2), numbered(5))
    await written.append(numbered(9, at_ms=FIRST_MS + 60 * HOUR_MS))
    going = await planned(written, log_start=99, before_ms=FIRST_MS + 50 * HOUR_MS)
    await expire.delete(written.store, going, nothing)
    assert (await verified(written)).origins[ORIGIN].listed == [(6, 8)]


async def test_a_lost_segment_after_expired_ones_is_found(tmp_path: Path) -> None:
    """Expiry does not excuse a segment that it did not delete."""
    written = WrittenArchive(tmp_path)
    names = await written.fill(5)
    going = await planned(written, log_start=10, before_ms=FIRST_MS + 50 * HOUR_MS)
    await expire.delete(written.store, going, nothing)
    assert (await verified(written)).sound
    written.path(names[2]).unlink()
    verification = await verified(written)
    assert not verification.sound
    written.path((await written.store.names(P0))[0]).unlink()
    assert "the beginning of its chain is missing" in str((await verified(written)).faults)


def test_an_age_is_days_or_hours_and_at_least_a_day() -> None:
    """A stalled writer may still write a younger segment."""
    assert AGE.convert("90d", None, None) == timedelta(days=90)
    assert AGE.convert("36h", None, None) == timedelta(hours=36)
    for wrong in ("23h", "0d", "90", "-3d", "1w", "999999d"):
        with pytest.raises(click.BadParameter):
            AGE.convert(wrong, None, None)
