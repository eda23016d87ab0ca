"""The youngest rows in memory equal those in the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import a_wire_record

from ingress.spool import recent_rows as recent_rows_module
from ingress.spool.directory import hold_any
from ingress.spool.recent_rows import RecentRows
from ingress.spool.row import encode

BYTES_MAX = 1 << 20


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "lose", "forget"]), st.integers(0, 5)), max_size=30
    ),
    after=st.integers(0, 40),
    rows_max=st.integers(1, 10),
)
def test_it_returns_the_rows_that_were_stored(
    steps: list[tuple[str, int]], after: int, rows_max: int
) -> None:
    """This holds after rows were forgotten, or stored by a commit that was not reported."""
    recent, last, forgotten = RecentRows(), 0, 0
    for step, count in steps:
        if step == "add":
            recent.add(last + 1, [(n, a_wire_record(n)) for n in range(last + 1, last + count + 1)])
            last += count
        elif step == "lose":
            last += count
        else:
            forgotten = min(forgotten + count, last)
            recent.forget(forgotten)
    rows = recent.rows_after(after, rows_max=rows_max, bytes_max=BYTES_MAX)
    if rows is not None:
        assert [row.sequence for row in rows] == [
            n for n in range(after + 1, last + 1) if n <= after + rows_max
        ][: len(rows)]
        assert all(row.record == a_wire_record(row.sequence) for row in rows)
        # It ends early only at the last row.
        assert len(rows) == min(rows_max, max(0, last - after)) or step_lost(steps)


def step_lost(steps: list[tuple[str, int]]) -> bool:
    """Return whether some rows were stored without being added."""
    return any(step == "lose" and count for step, count in steps)


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older rows have to be read from the file."""
    monkeypatch.setattr(recent_rows_module, "RECENT_ROWS_MAX", 10)
    recent = RecentRows()
    recent.add(1, [(n, a_wire_record(n)) for n in range(1, 31)])
    assert recent.rows_after(0, rows_max=5, bytes_max=BYTES_MAX) is None
    rows = recent.rows_after(20, rows_max=50, bytes_max=BYTES_MAX)
    assert rows is not None
    assert [row.sequence for row in rows] == list(range(21, 31))
    monkeypatch.setattr(recent_rows_module, "RECENT_BYTES_MAX", 1)
    recent.add(31, [(31, a_wire_record(31))])
    assert recent.rows_after(30, rows_max=5, bytes_max=BYTES_MAX) is None


def test_a_spool_reads_the_same_with_and_without_it(tmp_path: Path) -> None:
    """This holds over commits, removed rows, a new origin and quarantine."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)

    def store(count: int) -> None:
        stored = [(n, a_wire_record(n)) for n in range(count)]
        spool.writer.commit([encode(record, at) for at, record in stored], 0)
        spool.remember(stored, 0)

    def both(after: int) -> None:
        with_it = spool.rows_after(after, rows_max=7, bytes_max=BYTES_MAX)
        kept, spool._recent = spool._recent, RecentRows()  # noqa: SLF001
        assert with_it == spool.rows_after(after, rows_max=7, bytes_max=BYTES_MAX)
        spool._recent = kept  # noqa: SLF001

    store(5)
    store(5)
    for after in range(12):
        both(after)
    spool.writer.quarantine(4)
    both(3)
    store(2)
    spool.writer.commit([], 6)
    spool.forget_rows_in_memory(6)
    for after in (6, 8, 11):
        both(after)
    spool.writer.start_new_origin()
    for after in range(8):
        both(after)
    store(3)
    for after in range(8):
        both(after)
    spool.close()
