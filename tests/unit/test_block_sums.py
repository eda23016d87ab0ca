"""Only archived records that equal those of the topic are left out of the comparison."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.runtime.batch import Partition
from ops.audit import block_sums
from ops.audit.block_sums import BlockSums

P = [Partition("tim.callbacks.v1", number) for number in (0, 1)]
# A partition, an offset, and the content of the record.
RECORDS = st.lists(st.tuples(st.sampled_from(P), st.integers(0, 9), st.integers(0, 3)), max_size=30)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_sums, "BLOCK_OFFSETS", 4)


def check(partition: Partition, offset: int, content: int) -> int:
    """Return the digest of a record, of 64 bits."""
    return hash((partition, offset, content)) & (1 << 64) - 1


def compared(sums: BlockSums, archive: list[tuple[Partition, int, int]]) -> list[tuple[int, ...]]:
    """Return the rows that must be compared."""
    rows: list[tuple[int, ...]] = []
    for partition, offset, content in archive:
        row = (partition.number, offset, content)
        rows += sums.add_archived(partition, offset, check(partition, offset, content), row)
    return [*rows, *sums.close_all()]


@given(topic=RECORDS, archive=RECORDS, is_sorted=st.booleans())
def test_a_record_that_the_topic_does_not_have_is_compared(
    topic: list[tuple[Partition, int, int]],
    archive: list[tuple[Partition, int, int]],
    is_sorted: bool,  # noqa: FBT001 - Hypothesis gives it by name
) -> None:
    """Whatever else is archived, in any order."""
    sums = BlockSums()
    for record in topic:
        sums.add_record(*record[:2], check(*record))
    rows = compared(sums, sorted(archive) if is_sorted else archive)
    for partition, offset, content in archive:
        if (partition, offset, content) not in topic:
            assert (partition.number, offset, content) in rows
    assert list(sums.close_all()) == []


@given(topic=RECORDS, lag=st.integers(0, 9))
def test_blocks_that_are_archived_whole_are_not_compared(
    topic: list[tuple[Partition, int, int]], lag: int
) -> None:
    """Those of which a part is archived are, and the other part of them later."""
    topic = sorted(topic)
    sums = BlockSums()
    for record in topic:
        sums.add_record(*record[:2], check(*record))
    archive = [each for each in topic if each[1] < lag]
    rows = compared(sums, archive)
    whole = {offset for offset in range(10) if (offset // 4 + 1) * 4 <= lag}
    assert not [row for row in rows if row[1] in whole]
    late = compared(sums, [each for each in topic if each not in archive])
    assert len(rows) + len(late) <= len(topic)
