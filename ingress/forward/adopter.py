"""
Drain the spools that no process holds, one at a time.

After a crash, a scale-down or a lost container, callbacks must not wait until somebody starts a
process for their spool. The file of a drained spool stays: it records how many callbacks the
origin has had.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ingress.forward.forwarder import Forwarder
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import corrupt_files, spool_names, summary_of
from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.spool import Spool
from ingress.spool.spool_lock import FILE_SUFFIX, SpoolInUse, lock_kept_on_success, rename_corrupt
from ingress.spool.state import SpoolState
from ingress.spool.verification import NotVerified, verify
from schemas.ingress_status import SpoolSummary

log = logging.getLogger(__name__)

SEARCH_INTERVAL_S = 2.0
DRAIN_POLL_INTERVAL_S = 0.05
# If no row of a spool is sent for this long, although the own spool's forwarder works, others are
# drained first. Every new try verifies the whole file, so this is not shorter.
STALL_TIMEOUT_S = 300.0


class SpoolStalled(Exception):
    """Kafka accepts the rows of the own spool, but has not accepted those of this one for long."""


class Adopter:
    """Looks for spools without a process until cancelled, and drains them."""

    def __init__(
        self,
        directory: Path,
        own_spool: AsyncSpool,
        own_forwarder: Forwarder,
        make_forwarder: Callable[[AsyncSpool], Forwarder],
        *,
        bytes_max: int,
    ) -> None:
        self._directory = directory
        self._own_spool = own_spool
        self._own_forwarder = own_forwarder
        self._make_forwarder = make_forwarder
        self._bytes_max = bytes_max
        # Drained spools by name: the file's time of change then, and the state.
        self._drained_spools: dict[str, tuple[int, SpoolState]] = {}
        # By name, the fault that was logged since the last success; "" is the directory.
        self._logged_faults: dict[str, str] = {}
        self._adopted_spool: AsyncSpool | None = None
        # Spools that stay open, and so locked, until the process ends: their disk hangs.
        self._stuck_spools: list[AsyncSpool] = []

    def summaries(self, since_hour: int | None = None) -> list[SpoolSummary]:
        """
        Return a summary of every spool in the directory, this process's own first.

        Raises:
            OSError: the directory cannot be read, so there may be others.
        """
        other_names = [
            name for name in spool_names(self._directory) if name != self._own_spool.name
        ]
        return [
            self._own_spool.summary(since_hour),
            *(self._summary(name, since_hour) for name in other_names),
            *corrupt_files(self._directory),
        ]

    async def run(self) -> None:
        """Drain the spools that no process holds, then search again after SEARCH_INTERVAL_S."""
        while True:
            for name in self._list_names():
                if name != self._own_spool.name and not self._is_drained(name):
                    await self._adopt(name)
            await asyncio.sleep(SEARCH_INTERVAL_S)

    def _list_names(self) -> list[str]:
        try:
            names = spool_names(self._directory)
        except OSError as error:
            # The disk fails, or no descriptor is left. This process's own spool is not affected.
            fault = repr(error)
            if self._logged_faults.get("") != fault:
                log.warning("the spools in %s cannot be listed: %s", self._directory, fault)
            self._logged_faults[""] = fault
            return []
        self._logged_faults.pop("", None)
        return names

    def _summary(self, name: str, since_hour: int | None) -> SpoolSummary:
        if self._adopted_spool and self._adopted_spool.name == name:
            return self._adopted_spool.summary(since_hour)
        if self._is_drained(name):
            changed_at_ns, state = self._drained_spools[name]
            return summary_of(name, state, since_hour, changed_at_s=changed_at_ns / 1e9)
        return SpoolSummary(name)

    def _is_drained(self, name: str) -> bool:
        """Return whether the spool was drained, and its file has not changed since."""
        return name in self._drained_spools and self._drained_spools[name][
            0
        ] == self._modified_at_ns(name)

    def _modified_at_ns(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return (self._directory / f"{name}{FILE_SUFFIX}").stat().st_mtime_ns
        return 0

    async def _adopt(self, name: str) -> None:
        """Hold a spool, drain it and note its summary; log a fault once, and return in any case."""
        try:
            async with self._hold(name) as spool:
                if rows := spool.state.row_count:
                    log.warning("spool %s has %d rows and no process; draining it", name, rows)
                    await self._drain(spool)
                    log.warning("spool %s is drained", name)
                elif quarantined := spool.state.quarantined_sequences:
                    log.warning(
                        "spool %s is drained, but rows are in quarantine: %s (hookline spool show "
                        "%s)",
                        name,
                        ", ".join(map(str, quarantined)),
                        name,
                    )
                # Do this while holding it; else rows of its next holder would count as drained.
                self._drained_spools[name] = (self._modified_at_ns(name), spool.state)
                self._logged_faults.pop(name, None)
        except (SpoolInUse, Corrupt):
            return
        except Exception as fault:
            # No fault of one spool may end the search for others. It is tried again.
            if self._logged_faults.get(name) != repr(fault):
                is_expected = isinstance(
                    fault, NotVerified | SpoolStalled | LimitReached | DiskFailed | OSError
                )
                log.error(  # noqa: TRY400 - no traceback of a full disk
                    "spool %s cannot be drained now: %s",
                    name,
                    fault,
                    exc_info=None if is_expected else fault,
                )
            self._logged_faults[name] = repr(fault)

    @asynccontextmanager
    async def _hold(self, name: str) -> AsyncIterator[AsyncSpool]:
        """Hold the spool `name`; it takes no callbacks, its rows can only leave."""
        with lock_kept_on_success(self._directory, name) as (path, lock):
            await verify(path)
            # In a thread: a large file is read for a while.
            opened = await asyncio.to_thread(Spool, path, lock, self._bytes_max)
        spool = self._adopted_spool = AsyncSpool(opened, pending_rows_max=0, pending_bytes_max=0)
        try:
            yield spool
        finally:
            self._adopted_spool = None
            if not await spool.stop():
                self._stuck_spools.append(spool)
            spool.close()

    async def _drain(self, spool: AsyncSpool) -> None:
        """
        Return when all rows are in Kafka and no thread writes into the spool any more.

        Raises:
            Corrupt: the file is not a spool any more; it was renamed.
            SpoolStalled: other spools should be drained first.
        """
        forwarder = self._make_forwarder(spool)
        forwarding = asyncio.create_task(forwarder.run())
        progress, progressed_at = None, time.monotonic()
        try:
            while spool.state.row_count and not spool.corruption.done():
                if forwarding.done():
                    raise RuntimeError("the forwarder of an adopted spool has ended")
                before, progress = progress, (spool.state.row_count, forwarder.forwarded_sequence)
                if progress != before or self._own_forwarder.fault.text:
                    progressed_at = time.monotonic()
                elif (
                    forwarder.is_replaceable and time.monotonic() - progressed_at > STALL_TIMEOUT_S
                ):
                    raise SpoolStalled(
                        f"no row was sent for {STALL_TIMEOUT_S:g} s: {forwarder.fault.text}"
                    )
                await asyncio.sleep(DRAIN_POLL_INTERVAL_S)
        finally:
            forwarding.cancel()
            await asyncio.wait((forwarding,))
            await spool.stop()
        if spool.corruption.done():
            corrupt = Corrupt(spool.corruption.result())
            rename_corrupt(self._directory / f"{spool.name}{FILE_SUFFIX}", corrupt)
            raise corrupt
