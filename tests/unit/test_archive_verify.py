"""`archive verify` finds every kind of fault, and reports none for a sound archive."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiers
from support.archive.archives import (
    FIRST_MS,
    HOUR_MS,
    ORIGIN,
    WrittenArchive,
    forge,
    numbered,
    parts_of,
)
from support.builders import P0, P1

from consumers.archive import new_segment, segment
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Batch, Partition, Position, Record
from ops.archive import new_segments
from ops.archive import verify as verification
from ops.archive.verify import VerifyResult, verify


@pytest.fixture
def written(tmp_path: Path) -> WrittenArchive:
    """An empty archive."""
    return WrittenArchive(tmp_path / "archive")


async def verified(written: WrittenArchive, *, wait_s: float = 0) -> VerifyResult:
    """Return the result of verify."""
    return await verify(written.store, wait_s=wait_s, listed=lambda _: None, step=lambda: None)


def fault_text(verification: VerifyResult) -> str:
    """Return all faults as one text."""
    return "\n".join(f"{name}: {fault}" for name, fault in verification.faults)


async def test_a_sequence_after_a_higher_one_is_found(written: WrittenArchive) -> None:
    """Within a partition the sequences of an origin increase."""
    await written.append(numbered(5), numbered(9))
    await written.append(numbered(3))
    assert f"sequence 3 of {ORIGIN} comes after a higher one" in fault_text(await verified(written))


async def test_a_sound_archive_has_no_faults(written: WrittenArchive) -> None:
    """Also if it begins in the middle of a topic, and if its sequences are far apart."""
    await written.handler.store_first_position(P1, Position(700))
    await written.fill(3)
    await written.append(markers=2)
    await written.append(numbered(13), partition=P1)
    await written.append(numbered(9, origin="p" * 16), partition=P1)
    verification = await verified(written)
    assert (verification.faults, verification.sound, verification.absent) == ([], True, 0)
    assert (verification.segments, verification.records) == (8, 14)
    assert verification.origins[ORIGIN].sequences == 13


async def test_any_changed_bit_is_found(
    written: WrittenArchive, scaled: Callable[..., int]
) -> None:
    """Anywhere in the file."""
    _, name, _ = await written.fill(3)
    path = written.path(name)
    whole = path.read_bytes()
    dice = random.Random(1)  # noqa: S311 - no secret
    for _ in range(scaled(60)):
        broken = bytearray(whole)
        at = dice.randrange(len(whole))
        broken[at] ^= 1 << dice.randrange(8)
        path.write_bytes(broken)
        verification = await verified(written)
        assert not verification.sound, at
        assert {faulty for faulty, _ in verification.faults} == {name}


async def test_a_truncated_segment_is_found(
    written: WrittenArchive, scaled: Callable[..., int]
) -> None:
    """Anywhere in the file, also at the end of a frame."""
    _, name, _ = await written.fill(3)
    path = written.path(name)
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // scaled(40))):
        path.write_bytes(whole[:size])
        verification = await verified(written)
        assert {faulty for faulty, _ in verification.faults} == {name}, size
    # A writer that made a whole file of half of its frames.
    half = b"".join([*segment.read_lines(whole)][:2])
    path.write_bytes(forge(whole, half))
    assert "it has 2 lines, but its summary says 4" in fault_text(await verified(written))


async def test_a_deleted_segment_is_found(written: WrittenArchive) -> None:
    """One in the middle, the first one, and the beginning of the chain."""
    first, middle, _, _ = await written.fill(4)
    beginning = (await written.store.names(P0))[0]
    for name, fault in (
        (middle, "segments before it are missing: offsets 5 to 9"),
        (first, "segments before it are missing: offsets 0 to 4"),
        (beginning, "the beginning of its chain is missing"),
    ):
        content = written.path(name).read_bytes()
        written.path(name).unlink()
        verification = await verified(written)
        assert fault in fault_text(verification)
        assert len(verification.faults) == 1
        written.path(name).write_bytes(content)
    assert (await verified(written)).sound


async def test_a_deleted_segment_without_records_is_found(written: WrittenArchive) -> None:
    """It had only transaction markers, but nothing shows that after it was deleted."""
    await written.fill(1)
    name = await written.append(markers=9)
    await written.append(numbered(5, at_ms=FIRST_MS + HOUR_MS))
    assert (await verified(written)).sound
    written.path(name).unlink()
    assert "segments before it are missing: offsets 5 to 13" in fault_text(await verified(written))


async def test_a_segment_under_another_name_is_found(written: WrittenArchive) -> None:
    """A copy in its own partition and in another one, and a segment that was renamed."""
    _, name, _ = await written.fill(3)
    await written.append(numbered(13), partition=P1)
    path = written.path(name)
    for other in (
        path.with_name(path.name.replace("T23", "T22")),
        path.parent.parent / "1" / path.name,
    ):
        shutil.copyfile(path, other)
        verification = await verified(written)
        assert "its name does not match its content" in fault_text(verification)
        assert verification.origins[ORIGIN].doubled_listed == [5, 6, 7, 8]
        other.unlink()
    path.rename(path.with_name(path.name.replace("0005", "0006")))
    assert "its name does not match" in fault_text(await verified(written))


async def test_overlapping_segments_are_found(written: WrittenArchive) -> None:
    """The second begins within the first."""
    await written.fill(3)
    records = [
        numbered(number, at_ms=FIRST_MS + HOUR_MS)._replace(offset=number - 1 + 1)
        for number in (7, 8)
    ]
    batch = Batch(
        partition=P0,
        begins_at=5,
        reached=Position(9),
        records=records,
    )
    name, content = new_segment.of_batch(batch)
    await written.store.create(name, content)
    verification = await verified(written)
    assert f"{name}: it overlaps the one before it" in fault_text(verification)
    assert verification.origins[ORIGIN].doubled == 2


@pytest.mark.parametrize("records", [True, False], ids=["records", "markers"])
async def test_two_topics_in_one_chain_are_found(
    written: WrittenArchive,
    records: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Two pipelines that wrote in turn: offsets without a gap, checksums right, other sequences."""
    await written.append(numbered(1), numbered(2), topic_id="one")
    # Of an older broker, which reports no ids: nothing to find.
    await written.append(numbered(3))
    assert (await verified(written)).faults == []
    other = [numbered(1, origin="p" * 16)._replace(offset=5)]
    last = (await written.store.summary((await written.store.names(P0))[-1])).position
    reached = last._replace(next_offset=7, topic_id="other")
    if records:
        made = new_segment.of_batch(
            Batch(partition=P0, begins_at=5, reached=reached, records=other)
        )
    else:
        summary = await written.store.summary((await written.store.names(P0))[-1])
        made = new_segment.of_markers(summary, reached)
    await written.store.create(*made)
    (fault,) = (await verified(written)).faults
    assert fault[0] == made[0]
    assert "its topic has the id other, that of the segment before it has the id one" in fault[1]


async def test_a_link_with_another_last_record_is_found(written: WrittenArchive) -> None:
    """By that record consumers detect a recreated topic."""
    await written.fill(1)
    name = await written.append(markers=9)
    path = written.path(name)
    path.write_bytes(forge(path.read_bytes(), last_sequence=3))
    assert "its last record is not that of the segment before it" in fault_text(
        await verified(written)
    )


async def test_records_that_no_ingress_wrote_have_no_sequences(written: WrittenArchive) -> None:
    """They are archived, and there may be many."""
    await written.append(*(Record(0, FIRST_MS, None, b"{}", ()) for _ in range(3)))
    verification = await verified(written)
    assert (verification.sound, verification.records, verification.origins) == (True, 3, {})


async def test_a_sequence_in_two_partitions_is_doubled(written: WrittenArchive) -> None:
    """Neither segment is faulty by itself."""
    await written.append(numbered(1), numbered(2))
    await written.append(numbered(2), numbered(3), partition=P1)
    verification = await verified(written)
    assert (verification.faults, verification.sound) == ([], False)
    assert verification.origins[ORIGIN].doubled_listed == [2]


async def test_an_absent_sequence_is_reported_and_not_a_fault(written: WrittenArchive) -> None:
    """It may be a dead letter."""
    await written.append(numbered(1), numbered(4), numbered(9))
    verification = await verified(written)
    assert (verification.sound, verification.absent) == (True, 6)
    assert verification.origins[ORIGIN].listed == [(2, 3), (5, 8)]


async def test_segments_written_during_verification_are_not_faults(
    written: WrittenArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments that come while it reads are not judged, and what is on its way is waited for."""
    await written.append(numbered(1), numbered(3))
    list_once = new_segments.new_segments
    more = [(7, P0), (2, P1), (9, P1)]

    async def racing(store: SegmentStore, reached: dict[Partition, str]) -> object:
        segments = await list_once(store, reached)
        if more:
            number, partition = more.pop(0)
            await written.append(numbered(number), partition=partition)
        return segments

    monkeypatch.setattr(verification, "new_segments", racing)
    monkeypatch.setattr(verification, "POLL_INTERVAL_S", 0)
    result = await verified(written, wait_s=180)
    # 4 to 6 are above the highest sequence at first, so they are not waited for.
    assert (result.sound, result.absent, result.records) == (True, 0, 4)


# 25 pairs in all.
@settings(max_examples=tiers.scaled(10))
@given(st.integers(0, 4), st.integers(0, 4))
async def test_segments_expired_during_verification_are_not_faults(
    tmp_path_factory: pytest.TempPathFactory, segments: int, read: int
) -> None:
    """Wherever it was in reading; a segment that somebody deletes is one."""
    written = WrittenArchive(tmp_path_factory.mktemp("archive"))
    names = await written.fill(5)
    beginning = (await written.store.names(P0))[0]
    chain = [beginning, *names]
    going = [
        segment.read_summary(written.path(name).read_bytes()) for name in chain[: segments + 1]
    ]

    async def one_deletes() -> None:
        if segments:
            await written.store.create(*new_segment.moved_beginning(going))
            for name in chain[: segments + 1]:
                await written.store.delete(name)

    reads = 0

    class Racing(SegmentStore):
        async def read(self, name: str) -> bytes:
            nonlocal reads
            reads += 1
            if reads == read + 1:
                await one_deletes()
            return await written.store.read(name)

    racing = Racing(*parts_of(written.store))
    verification = await verify(racing, wait_s=0, listed=lambda _: None, step=lambda: None)
    assert (fault_text(verification), verification.sound, verification.absent) == ("", True, 0)


async def test_a_segment_deleted_during_verification_is_a_fault(written: WrittenArchive) -> None:
    """Only expiry creates a beginning in place of what it deletes."""
    _, name, _ = await written.fill(3)

    class Racing(SegmentStore):
        async def read(self, name_: str) -> bytes:
            written.path(name).unlink(missing_ok=True)
            return await written.store.read(name_)

    racing = Racing(*parts_of(written.store))
    verification = await verify(racing, wait_s=0, listed=lambda _: None, step=lambda: None)
    assert f"{name}: it was deleted during the verification, and not by expiry" in fault_text(
        verification
    )
