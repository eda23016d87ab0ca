"""A spool for the event loop: the receiver puts callbacks in, and the forwarder takes rows out."""

from functools import partial

from ingress.spool.directory import summary_of
from ingress.spool.group_commit import GroupCommit
from ingress.spool.row import Row
from ingress.spool.spool import Spool
from ingress.spool.state import SpoolState
from ingress.spool.writer_thread import OnCommit
from schemas.ingress_status import SpoolSummary
from schemas.outgoing_record import OutgoingRecord


class AsyncSpool:
    """
    The only way to a spool in a running ingress, for the thread of one event loop.

    The receiver puts callbacks in. The forwarder reads rows, and removes those that Kafka has; an
    adopted spool has only a forwarder. All writes happen in a thread of their own (`GroupCommit`).
    """

    def __init__(self, spool: Spool, *, pending_rows_max: int, pending_bytes_max: int) -> None:
        self._spool = spool
        self._group_commit = GroupCommit(
            spool, rows_max=pending_rows_max, bytes_max=pending_bytes_max
        )
        self._is_stuck = False
        self.name = spool.name
        # Has the reason as its result once the spool's file is corrupt; then the process must end.
        self.corruption = self._group_commit.corruption

    @property
    def state(self) -> SpoolState:
        """The state of the spool after its last commit: origin, sequences, quarantine, sizes."""
        return self._spool.state

    @property
    def fault(self) -> str:
        """Why the last commit failed, or the disk hangs; "" if it succeeded."""
        return self._group_commit.fault

    @property
    def was_full(self) -> bool:
        """Whether the spool was full, and has not been below 95 % of its bound since."""
        return self._group_commit.fullness.was_full

    def summary(self, since_hour: int | None = None) -> SpoolSummary:
        """Return the spool as /status lists it."""
        return summary_of(self.name, self.state, since_hour)

    # For the receiver.

    def put(self, record: OutgoingRecord, received_at_ms: int, on_commit: OnCommit) -> None:
        """
        Store a record; `on_commit` is called once, unless this raises.

        `on_commit(None)`: the record is on disk (fsync). `on_commit(failure)`: it may or may not be
        stored.

        Raises:
            LimitReached: too many callbacks wait for the disk; nothing is stored.
            DiskFailed: the disk hangs; nothing is stored.
        """
        self._group_commit.put(record, received_at_ms, on_commit)

    # For the forwarder.

    def rows_after(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """
        Return the rows after `sequence`, which is at least that of the last forwarded row.

        Raises:
            DamagedCallback, DiskFailed, Corrupt: see Spool.rows_after.
        """
        return self._spool.rows_after(sequence, rows_max=rows_max, bytes_max=bytes_max)

    def fingerprint(self, sequence: int) -> str:
        """Return the fingerprint of the row at `sequence`, "" if it is damaged or not here."""
        return self._spool.fingerprint(sequence)

    async def wait_for_rows(self, before: SpoolState) -> None:
        """Return when callbacks have been stored since the state was `before`."""
        while self.state.last_number == before.last_number:
            self._group_commit.rows_stored.clear()
            await self._group_commit.rows_stored.wait()

    def forget_rows_in_memory(self, sequence: int) -> None:
        """Free the memory of rows up to `sequence`, which stay in the file."""
        self._spool.forget_rows_in_memory(sequence)

    def remove_forwarded_soon(self, sequence: int) -> None:
        """
        Note that Kafka has the rows up to `sequence`; the next commits remove them from the file.

        `forget_rows_in_memory` frees their memory.
        """
        self._group_commit.remove_forwarded_soon(sequence)

    async def quarantine(self, sequence: int) -> None:
        """
        Return once the row at `sequence` is in quarantine.

        Raises:
            LimitReached, DiskFailed: the disk failed; a later `state` has the outcome.
        """
        await self._group_commit.run_between_commits(
            partial(self._spool.writer.quarantine, sequence)
        )

    async def start_new_origin(self) -> None:
        """
        Return once the current rows are the sequences 1, 2, 3, … of a new origin.

        Raises:
            LimitReached, DiskFailed: the disk failed; a later `state` has the outcome.
        """
        # Else sequences of the former origin would be taken for those of the new one.
        self._group_commit.remove_forwarded_soon(0)
        await self._group_commit.run_between_commits(self._spool.writer.start_new_origin)

    @property
    def aborted_origin(self) -> str:
        """The origin that `store_aborted_origin` stored, also in an earlier process; "" if none."""
        return self._spool.writer.aborted_origin

    async def store_aborted_origin(self, origin: str) -> None:
        """
        Return once it is on disk that the last transaction of `origin` was aborted; "": of none.

        Raises:
            LimitReached, DiskFailed: the disk failed; the note may or may not be there.
        """
        await self._group_commit.run_between_commits(
            partial(self._spool.writer.store_aborted_origin, origin)
        )

    def report_corruption(self, reason: str) -> None:
        """Note that the spool's file is corrupt; see `corruption`."""
        self._group_commit.report_corruption(reason)

    # For the process that ends.

    async def stop(self) -> bool:
        """
        Return True once all pending callbacks are on disk or have failed, and no thread writes.

        Returns False if the disk hangs: the thread still uses the spool, which stays open.
        """
        if not self._is_stuck:
            self._is_stuck = not await self._group_commit.stop()
        return not self._is_stuck

    def close(self) -> None:
        """Let another process hold the spool, unless `stop` has found that the disk hangs."""
        # To close a file whose commit hangs would block the event loop, too.
        if not self._is_stuck:
            self._spool.close()
