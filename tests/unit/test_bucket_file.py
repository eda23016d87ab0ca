"""Rows that do not fit into the memory are in a temporary file, or the audit fails."""

import resource
import tracemalloc
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.audit import bucket_file
from ops.audit.bucket_file import BUCKETS, COLUMNS, BucketFile
from ops.audit.sources import AuditFailed

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, (1 << 64) - 1)), max_size=60)


def add(file: BucketFile, count: int) -> None:
    """Add rows with their numbers, in turn to every bucket."""
    for number in range(count):
        file.add(number % BUCKETS, *[number] * COLUMNS)


@given(added=ROWS, read_at=st.integers(0, 60))
def test_each_bucket_has_its_rows_in_the_order_in_which_they_came(
    added: list[tuple[int, int]], read_at: int
) -> None:
    """Also if they are read meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket_file, "BUFFER_BYTES_MAX", 300)
        file = BucketFile()
        for index, (bucket, value) in enumerate(added):
            if index == read_at:
                file.rows(0)
            file.add(bucket, *[value] * COLUMNS)
        for bucket in range(4):
            expected = [value for its, value in added if its == bucket for _ in range(COLUMNS)]
            assert file.rows(bucket) == array("Q", expected)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are many times as large as the memory that they take."""
    monkeypatch.setattr(bucket_file, "BUFFER_BYTES_MAX", 256 << 10)
    tracemalloc.start()
    file = BucketFile()
    add(file, 50_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (1 << 20) < 50_000 * COLUMNS * 8 // 3
    assert len(file.rows(7)) == COLUMNS * len(range(7, 50_000, BUCKETS))


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is proven with a part of the rows."""
    monkeypatch.setattr(bucket_file, "BUFFER_BYTES_MAX", 8 * COLUMNS)
    file = BucketFile()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(AuditFailed, match="File too large; TMPDIR names the directory"):
            add(file, 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
