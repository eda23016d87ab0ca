"""
A spool under faults, compared with a plain model of it.

The machine does the same steps as an ingress, in the same order. Any LMDB call may fail or be the
last one of the process, stored bytes may change, and the file may be replaced by an older copy. The
machine knows whether a transaction is in the file, so the model is exact.
"""

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import lmdb
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.spool.failing_lmdb import Fault, Faults, Killed, patch
from support.spool.model import NAME, Model
from support.spool.quarantine_lines import QuarantineLines

from ingress.forward.cursor import Cursor, is_older_copy
from ingress.forward.quarantine_log import QuarantineLog
from ingress.spool.block import pack
from ingress.spool.disk import DiskFailed, LimitReached, ReopenRequired
from ingress.spool.row import DamagedCallback, encode
from ingress.spool.spool import Spool
from ingress.spool.spool_lock import lock_kept_on_success
from schemas.outgoing_record import OutgoingRecord
from schemas.telemetry import INGRESS_ROWS_QUARANTINED

BYTES_MAX = 64 << 20
CALLS_MAX = 14
# Use memory if the system has such a folder: the disk itself is not under test.
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of the machine's own is made in it

FAULTS = st.none() | st.builds(
    Fault,
    st.integers(1, CALLS_MAX),
    st.sampled_from(["ENOSPC", "EIO", "map full", "kill"]),
    st.booleans(),
    st.booleans(),
)


class SpoolMachine(RuleBasedStateMachine):
    """Steps that an ingress, its disk and its operator take."""

    # Counts of what happened, over all runs.
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.path = self.directory / f"{NAME}.lmdb"
        self.faults = Faults()
        self.model = Model()
        self.is_certain = True
        self.spool: Any = None
        # The state after the last commit whose outcome is known.
        self.state_before: Any = None
        self.number_of_body = 0
        # Kafka's records by origin and sequence, and its cursors with fingerprints by origin.
        self.topic: dict[tuple[str, int], bytes] = {}
        self.cursors: dict[str, tuple[int, str]] = {}
        self.delivered: set[int] = set()
        self.copy: tuple[bytes, Model] | None = None
        self.origins = {NAME}
        # The last sequence that Kafka has, as far as the forwarder knows.
        self.forwarded = 0
        # The forwarder has read the cursor of this origin.
        self.is_forwarding = False
        self.origin = NAME
        self.was_put_back = False
        self.reports = QuarantineLines()
        self.unpatch = patch(self.faults)
        logging.getLogger("ingress.forward.quarantine_log").addHandler(self.reports)
        logging.getLogger("ingress.forward.quarantine_log").propagate = False

    def teardown(self) -> None:
        """Send all rows to Kafka on a disk that works, then check that none is lost."""
        try:
            self.faults.arm(None)
            if self.spool:
                self._start_again()
                self._drain()
                self._assert_nothing_is_lost()
        finally:
            self._stop()
            self.unpatch()
            logging.getLogger("ingress.forward.quarantine_log").removeHandler(self.reports)
            logging.getLogger("ingress.forward.quarantine_log").propagate = True
            shutil.rmtree(self.directory)

    # Steps.

    @initialize()
    def begin(self) -> None:
        """Create a spool."""
        self._start_again()

    @rule(
        sizes=st.lists(st.sampled_from([0, 10, 500, 30_000]), max_size=5),
        is_full=st.booleans(),
        probe=st.booleans(),
        fault=FAULTS,
    )
    def commit(self, sizes: list[int], *, is_full: bool, probe: bool, fault: Fault | None) -> None:
        """Store rows, unless the spool is at its bound, and remove forwarded rows."""
        records = [self._record(size) for size in sizes]
        contents = [encode(record, 1) for record in records]
        is_full = is_full and bool(sizes) and len(sizes) % 2 == 0
        after = self._without_the_forwarded()
        if not is_full:
            after.append([record.value for record in records], contents)
        self._bound(0 if is_full else BYTES_MAX)
        ok = self._write(
            lambda: self.spool.writer.commit(contents, self.forwarded, probe=probe), after, fault
        )
        if ok and not is_full:
            self.model.acknowledged |= set(range(after.last - len(sizes) + 1, after.last + 1))
            self.spool.remember([(1, record) for record in records], sum(map(len, contents)))

    @rule(
        rows_max=st.integers(1, 6),
        bytes_max=st.sampled_from([1, 1 << 20]),
        read_fault=FAULTS,
        fault=FAULTS,
    )
    def forward(
        self, *, rows_max: int, bytes_max: int, read_fault: Fault | None, fault: Fault | None
    ) -> None:
        """Send rows to Kafka, or put a damaged row into quarantine."""
        if not self._is_forwarding():
            return
        self._report()
        self.faults.arm(read_fault)
        try:
            rows = self.spool.rows_after(self.forwarded, rows_max=rows_max, bytes_max=bytes_max)
            fingerprint = self.spool.fingerprint(rows[-1].sequence) if rows else ""
        except DamagedCallback as damaged:
            self._assert_is_damaged(self.spool.state.base + damaged.sequence)
            self._quarantine(damaged.sequence, fault)
        except (LimitReached, DiskFailed) as failure:
            self._failed(failure)
        except Killed:
            self._start_again()
        else:
            self._deliver(rows, fingerprint)

    @rule(fault=FAULTS)
    def refuse(self, fault: Fault | None) -> None:
        """Let Kafka refuse the next row, also as a dead letter."""
        if not self._is_forwarding():
            return
        try:
            rows = self.spool.rows_after(self.forwarded, rows_max=1, bytes_max=1)
        except (DamagedCallback, DiskFailed):
            return
        for row in rows:
            self._quarantine(row.sequence, fault)

    @rule(fault=FAULTS)
    def start_new_origin(self, fault: Fault | None) -> None:
        """Number the rows again, as after a restored copy."""
        self._start_new_origin(fault)

    @rule(fault=FAULTS)
    def reopen(self, fault: Fault | None) -> None:
        """Reopen the file, to release mapped memory."""
        self.faults.arm(fault)
        try:
            self.spool.reopen()
        except (LimitReached, DiskFailed):
            pass
        except Killed:
            self._start_again()

    @rule()
    def restart(self) -> None:
        """End the process and begin another."""
        self._start_again()

    @rule()
    def adopt(self) -> None:
        """Let another process drain the spool that this one leaves."""
        self._start_again()
        self._drain()

    @rule(at=st.integers(0, 1 << 30), is_head=st.booleans())
    def change_bytes(self, at: int, *, is_head: bool) -> None:
        """Flip a bit of a row or of a block's head in every place where the file has it."""
        self.faults.arm(None)
        if not self.is_certain or not self.model.blocks:
            return
        first, end = self.model.blocks[at % len(self.model.blocks)]
        if first in self.model.changed_heads:
            return
        number = first + at % (end + 1 - first)
        if number in self.model.changed_rows:
            return
        rows = [encode(_as_record(self.model.bodies[n]), 1) for n in range(first, end + 1)]
        head = 8 + 4 * len(rows)
        before = pack(rows, NAME, first)
        start = head + sum(len(row) + 4 for row in rows[: number - first])
        # Search for the checksum and the first bytes of a row, or for a complete head.
        begin, length = (0, head) if is_head else (start, 12)
        content = self.path.read_bytes()
        offset = content.find(before[begin : begin + length])
        changed = False
        with self.path.open("r+b") as file:
            while offset >= 0:
                file.seek(offset + at % length)
                file.write(bytes([content[offset + at % length] ^ 1 << at % 8]))
                changed = True
                offset = content.find(before[begin : begin + length], offset + 1)
        assert changed
        self.counts["heads changed" if is_head else "rows changed"] += 1
        if is_head:
            self.model.changed_heads.add(first)
        else:
            self.model.changed_rows.add(number)

    @rule()
    def keep_a_copy(self) -> None:
        """Copy the file, as a volume's snapshot does."""
        self._settle_what_is_uncertain()
        self.the_state_is_what_the_file_holds()
        self.copy = self.path.read_bytes(), deepcopy(self.model)

    @rule()
    def put_the_copy_back(self) -> None:
        """Restore the copy: later rows are lost here, and some of them are in Kafka."""
        if self.copy:
            self._stop()
            self.path.write_bytes(self.copy[0])
            # A row that was in quarantine has been reported, and the cursor has passed it.
            passed = self.model.quarantined
            self.model = deepcopy(self.copy[1])
            self.model.acknowledged -= passed
            self.counts["copies put back"] += 1
            self.was_put_back = True
            self.copy = None
            self._open()

    # Invariants.

    @invariant()
    def the_state_is_what_the_file_holds(self) -> None:
        """Compare the spool's state with the model, or with that before an uncertain commit."""
        if self.spool and not self.is_certain:
            assert self.spool.state == self.state_before, "a commit that failed changed the state"
        elif self.spool:
            model, state = self.model, self.spool.state
            expected = (model.base, model.first, model.last, frozenset(model.quarantined))
            assert (
                state.base,
                state.first_number,
                state.last_number,
                state.quarantined_numbers,
            ) == (expected)
            assert self.spool.row_count == model.waiting
            assert self.spool.state.used_bytes == self._pages_in_use()
            if not model.origin:
                assert state.origin not in self.origins
                self.origins.add(state.origin)
                model.origin = state.origin
            assert state.origin == model.origin
            self.state_before = state

    def _assert_is_damaged(self, number: int) -> None:
        assert number in self.model.damage() - self.spool.state.quarantined_numbers, number

    def _deliver(self, rows: list[Any], fingerprint: str) -> None:
        """Add rows to Kafka; they must be the very next ones, as stored, each number once."""
        state = self.spool.state
        expected = state.base + self.forwarded
        for row in rows:
            expected += 1
            # Rows that a commit with an unknown outcome may have removed are not expected.
            while expected < self.model.first or expected in state.quarantined_numbers:
                expected += 1
            assert state.base + row.sequence == expected, "a row was skipped"
            assert row.record.value == self.model.bodies[expected]
            place = (state.origin, row.sequence)
            assert self.topic.setdefault(place, row.record.value) == row.record.value, (
                f"{place} was given to two rows"
            )
            self.delivered.add(expected)
        if rows:
            self.forwarded = rows[-1].sequence
            self.cursors[state.origin] = (self.forwarded, fingerprint)
            self.spool.forget_rows_in_memory(self.forwarded)
            self.counts["rows delivered"] += len(rows)
        elif self.is_certain:
            waiting = set(range(expected + 1, self.model.last + 1)) - self.model.quarantined
            assert not waiting, "rows wait, but none was returned"

    def _assert_nothing_is_lost(self) -> None:
        """Each row that was answered OK is in Kafka, or it is damaged, named, and kept."""
        model = self.model
        for number in model.acknowledged - self.delivered:
            assert number in model.quarantined, f"row {number} was skipped"
        for number in model.quarantined:
            sequence = number - model.base
            if number > model.base:
                assert (self.spool.origin, sequence) in self.reports.named, f"{number} is unnamed"
            file = self.spool._opened()  # noqa: SLF001
            with file.env.begin() as txn:
                left = txn.get(number.to_bytes(8, "big"), db=file.quarantine)
            assert left is not None, f"nothing is kept of row {number}"

    # The same steps as an ingress takes.

    def _write(self, write: Callable[[], None], after: Model, fault: Fault | None) -> bool:
        """Run a write; change the model if the file has changed, even if the write has failed."""
        self.faults.arm(fault)
        failure: BaseException | None = None
        try:
            write()
        except (LimitReached, DiskFailed, Killed) as raised:
            failure = raised
        came, committed = self.faults.came, self.faults.committed
        self.faults.arm(None)
        if committed:
            self.model = after
        assert committed or failure, "success was reported, but nothing was committed"
        self.counts[came or "no fault"] += 1
        if came and committed:
            self.counts["kept all the same"] += 1
        if not failure or (isinstance(failure, LimitReached) and not came):
            self.is_certain = True
            self.the_state_is_what_the_file_holds()
            return not failure
        self.is_certain = False
        if isinstance(failure, Killed):
            self._start_again()
        else:
            self._failed(failure)
        return False

    def _failed(self, failure: BaseException) -> None:
        self.faults.arm(None)
        if isinstance(failure, ReopenRequired):
            self.spool.reopen()

    def _quarantine(self, sequence: int, fault: Fault | None) -> None:
        after = deepcopy(self.model)
        after.quarantine(self.spool.state.base + sequence)
        self.counts["rows into quarantine"] += len(after.quarantined - self.model.quarantined)
        self._write(lambda: self.spool.writer.quarantine(sequence), after, fault)

    def _without_the_forwarded(self) -> Model:
        """Return the model after a commit that stores no row."""
        after = deepcopy(self.model)
        if after.origin == self.spool.origin:
            after.remove_forwarded(self.forwarded)
        return after

    def _start_again(self) -> None:
        """Leave the spool as a killed process does and open it."""
        self._stop()
        self._open()

    def _stop(self) -> None:
        self.faults.arm(None)
        self.faults.abandon()
        if self.spool:
            self.spool._lock.close()  # noqa: SLF001
            self.spool = None

    def _open(self) -> None:
        with lock_kept_on_success(self.directory, NAME) as (path, lock):
            self.spool = self.new_spool(path, lock)
        self.is_certain = True
        self.state_before = self.spool.state
        self.forwarded = 0
        self.is_forwarding = False
        # A step may open the spool and write at once, and the file may have an origin of an
        # uncertain commit: the model must know it before it says what the write removes.
        self.the_state_is_what_the_file_holds()
        self._new_forwarder()

    def new_spool(self, path: Path, lock: Any) -> Any:
        """Open the spool."""
        return Spool(path, lock, BYTES_MAX)

    def _new_forwarder(self) -> None:
        self.quarantine_log = QuarantineLog(NAME)
        self.before = self.spool.state.quarantined_numbers
        self.counted = INGRESS_ROWS_QUARANTINED._value.get()  # noqa: SLF001
        self._report()

    def _start_new_origin(self, fault: Fault | None) -> None:
        self.forwarded = 0
        after = deepcopy(self.model)
        after.start_new_origin()
        self._write(self.spool.writer.start_new_origin, after, fault)
        self.is_forwarding = False

    def _is_forwarding(self) -> bool:
        """Return whether rows can be forwarded; read the cursor first, and detect an older copy."""
        self.faults.arm(None)
        if self.is_forwarding and self.spool.origin == self.origin:
            return True
        self.origin = self.spool.origin
        self._new_forwarder()
        cursor, fingerprint = self.cursors.get(self.origin, (0, ""))
        try:
            is_older = is_older_copy(self.spool, Cursor(cursor, fingerprint))
        except DiskFailed:
            return False
        if is_older:
            assert self.was_put_back, (
                "the spool is taken for an older copy, but no copy was put back"
            )
            self.counts["found to be older"] += 1
            self._start_new_origin(None)
            return False
        self.forwarded = max(cursor, self.spool.state.first_sequence - 1)
        self.is_forwarding = True
        return True

    def _report(self) -> None:
        """Report the quarantine, and compare the metric with it."""
        self.quarantine_log.report(self.spool.state)
        taken = self.spool.state.quarantined_numbers - self.before
        assert INGRESS_ROWS_QUARANTINED._value.get() == self.counted + len(taken)  # noqa: SLF001

    def _settle_what_is_uncertain(self) -> None:
        """Write without a fault, so that the spool learns the outcome of a failed commit."""
        self._bound(BYTES_MAX)
        ok = False
        while not ok:
            after = self._without_the_forwarded()
            ok = self._write(
                lambda: self.spool.writer.commit([], self.forwarded, probe=True), after, None
            )

    def _drain(self) -> None:
        self._settle_what_is_uncertain()
        for _ in range(10_000):
            if not self.spool.row_count:
                break
            self.forward(rows_max=50, bytes_max=1 << 20, read_fault=None, fault=None)
            self._settle_what_is_uncertain()
        assert not self.spool.row_count
        self._report()

    def _bound(self, bytes_max: int) -> None:
        self.spool.writer._bytes_max = bytes_max  # noqa: SLF001

    def _record(self, size: int) -> OutgoingRecord:
        self.number_of_body += 1
        return _as_record(b"%d %s" % (self.number_of_body, b"x" * size))

    def _pages_in_use(self) -> int:
        """Count the pages in the file without the spool's help."""
        if self.spool._file is None:  # noqa: SLF001
            return int(self.spool.state.used_bytes)
        real: lmdb.Environment = self.spool._file.env._env  # noqa: SLF001
        with real.begin() as txn:
            stats = [txn.stat(db) for db in (self.spool._file.blocks, self.spool._file.quarantine)]  # noqa: SLF001
        pages = [s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats]
        return sum(pages) * stats[0]["psize"]


def _as_record(body: bytes) -> OutgoingRecord:
    return OutgoingRecord(topic="tim.callbacks.v1", key=None, value=body, headers=[])
