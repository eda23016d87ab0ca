"""The machine of tests/property/test_spool.py, many more runs, and on spools with a bug."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from support.spool.machine import SpoolMachine
from support.spool.model import NAME

from ingress.spool import stored_rows, write_transaction, writer
from ingress.spool.disk import disk_faults
from ingress.spool.state import SpoolState
from ingress.spool.write_transaction import BlockIndex, WriteTransaction, read_state
from ingress.spool.writer import SpoolWriter

PORTIONS = 8
STEPS = 50
# A bug in the spool is found within so many runs.
WRONG_RUNS_MAX = 2000

Wrong = Callable[[pytest.MonkeyPatch], None]


def _run(number: int, runs: int) -> None:
    run_state_machine_as_test(
        seed(number)(type("Machine", (SpoolMachine,), {})),
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            # The seed of a failure is enough: shrinking takes minutes.
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        ),
    )


def run(number: int, runs: int) -> Counter[str]:
    """Return the counts of the runs of one seed."""
    SpoolMachine.counts.clear()
    _run(number, runs)
    return SpoolMachine.counts


@pytest.mark.long  # tests/property does some runs
@pytest.mark.timeout(600)
def test_thousands_of_runs_lose_no_row_and_give_no_number_twice(
    scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """Any call of LMDB may fail, or be the last one before a crash."""
    runs = scaled(104)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        portions = pool.map(run, range(PORTIONS), [runs // PORTIONS] * PORTIONS)
        counted = sum(portions, Counter[str]())
    kinds: Counter[str] = Counter()
    for what, count in counted.items():
        kinds[what.partition(" in ")[0] + " (by call)" if " in " in what else what] += count
    say(f"{runs} runs of a spool: {', '.join(f'{n} {what}' for what, n in kinds.most_common())}")
    assert counted["rows delivered"] > runs


def the_state_changes_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """A failed commit leaves a state that the file does not have."""

    def write(self: SpoolWriter, change: Callable[[WriteTransaction], Any]) -> Any:
        file = self._opened()
        index, self._index = self._index, None
        with disk_faults(), file.env.begin(write=True) as txn:
            state = self.state
            if index is None:
                state, index = read_state(txn, file, NAME)
            changing = WriteTransaction(txn, file, NAME, state, index)
            changed = change(changing)
            self.state = changing.write_state()
        self._index = index
        return changed

    patch.setattr(SpoolWriter, "_write", write)


def a_failed_commit_is_not_read_again(patch: pytest.MonkeyPatch) -> None:
    """The next write starts from the state before it, with the index that it changed."""

    def write(self: SpoolWriter, change: Callable[[WriteTransaction], Any]) -> Any:
        file = self._opened()
        assert self._index
        with disk_faults(), file.env.begin(write=True) as txn:
            changing = WriteTransaction(txn, file, NAME, self.state, self._index)
            changed = change(changing)
            state = changing.write_state()
        self.state = state
        return changed

    patch.setattr(SpoolWriter, "_write", write)


def the_quarantine_is_kept_in_memory_alone(patch: pytest.MonkeyPatch) -> None:
    """The quarantine is lost at a restart."""

    def quarantine(self: WriteTransaction, sequence: int) -> None:
        self._quarantined_numbers = self.before.quarantined_numbers | {self.before.base + sequence}

    patch.setattr(WriteTransaction, "quarantine", quarantine)


def the_last_number_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    """An empty spool begins again at a number that it has given before."""

    def read(*args: object) -> tuple[SpoolState, BlockIndex]:
        state, index = read_state(*args)  # type: ignore[arg-type]
        if not index.last_block_first_number():
            state = state._replace(first_number=1, last_number=0, base=0)
        return state, index

    patch.setattr(writer, "read_state", read)


def one_damaged_row_takes_its_block_along(patch: pytest.MonkeyPatch) -> None:
    """Good rows are not sent."""

    def remains_from(*args: object) -> Iterator[tuple[int, bytes]]:
        cursor, state, name, number = args
        for each, left in stored_rows.remains_from(cursor, state, name, number):  # type: ignore[arg-type]
            yield each, left
            yield each + 1, b""

    patch.setattr(write_transaction, "remains_from", remains_from)


WRONG: list[Wrong] = [
    the_state_changes_before_the_commit,
    the_quarantine_is_kept_in_memory_alone,
    the_last_number_is_not_kept,
    one_damaged_row_takes_its_block_along,
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "wrong",
    [
        *WRONG,
        # It takes twenty times as many runs as each of the others.
        pytest.param(a_failed_commit_is_not_read_again, marks=pytest.mark.long),
    ],
    ids=lambda wrong: wrong.__name__,
)
def test_a_bug_in_the_spool_is_found(
    wrong: Wrong, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]
) -> None:
    """Each bug was, or could be, one of the product."""
    SpoolMachine.counts.clear()
    wrong(monkeypatch)
    is_found = False
    try:
        _run(1, WRONG_RUNS_MAX)
    except BaseException as error:  # noqa: BLE001 - hypothesis raises what it found
        is_found = True
        say(f"{wrong.__name__}: after {sum(SpoolMachine.counts.values())} writes: {error!r:.100}")
    assert is_found
