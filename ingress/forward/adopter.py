"""
Spools that no process holds: a running ingress drains them, one at a time.

After a crash, a scale-down or a lost container nothing waits for somebody to come back. The spool's
file stays: it is its origin's record of how many callbacks there were.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ingress.forward.forwarder import Forwarder
from ingress.spool.directory import (
    SUFFIX,
    VERIFY,
    VERIFY_S_MAX,
    Held,
    Summary,
    is_to_be_verified,
    judge,
    locked,
    names,
    set_aside,
    set_asides,
    summary,
)
from ingress.spool.disk import Broken, Corrupt, Full
from ingress.spool.intake import Intake
from ingress.spool.spool import Spool

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
DRAINED_EVERY_S = 0.05

MakeForwarder = Callable[[Spool, Intake, asyncio.Event], Forwarder]


class Adopter:
    """Looks for spools without a process until cancelled; `known` tells what it found."""

    def __init__(
        self, directory: Path, mine: Spool, forwarder: MakeForwarder, *, bytes_max: int
    ) -> None:
        self._directory = directory
        self._mine = mine
        self._forwarder = forwarder
        self._bytes_max = bytes_max
        # By name: the summary, and the file's time of change when it was made.
        self._seen: dict[str, tuple[int, Summary]] = {}
        # By name, the fault that was logged last.
        self._said: dict[str, str] = {}
        self.adopted: Spool | None = None
        # Held until the process ends: its disk hung when it was to be let go.
        self._stuck: list[Spool] = []

    def known(self) -> list[Summary]:
        """
        Return what is known of every spool in the directory, this process's own first.

        Raises:
            OSError: the directory cannot be read, so there may be others.
        """
        others = [name for name in names(self._directory) if name != self._mine.name]
        return [
            summary(self._mine),
            *(self._known(name) for name in others),
            *set_asides(self._directory),
        ]

    async def run(self) -> None:
        """Look every LOOK_EVERY_S."""
        while True:
            for name in self._names():
                if name != self._mine.name and not self._is_settled(name):
                    await self._adopt(name)
            await asyncio.sleep(LOOK_EVERY_S)

    def _names(self) -> list[str]:
        try:
            return names(self._directory)
        except OSError as error:
            # A failing disk, or no descriptor left: what came and was stored is sent all the same.
            fault = repr(error)
            if self._said.get("") != fault:
                log.warning("the spools in %s cannot be listed: %s", self._directory, fault)
            self._said[""] = fault
            return []

    def _known(self, name: str) -> Summary:
        if self.adopted and self.adopted.name == name:
            return summary(self.adopted)
        if self._is_settled(name):
            return self._seen[name][1]
        return Summary(name, name, None)

    def _is_settled(self, name: str) -> bool:
        return name in self._seen and self._seen[name][0] == self._changed_at(name)

    def _changed_at(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return (self._directory / f"{name}{SUFFIX}").stat().st_mtime_ns
        return 0

    async def _adopt(self, name: str) -> None:
        try:
            async with self._held(name) as spool:
                if spool.rows:
                    log.warning(
                        "spool %s has %d callbacks and no process; draining it", name, spool.rows
                    )
                    await self._drain(spool)
                    log.warning("spool %s is drained", name)
                elif damaged := spool.damaged():
                    log.warning(
                        "spool %s is drained, but rows are in quarantine: %s (hookline spool show "
                        "%s)",
                        name,
                        ", ".join(map(str, damaged)),
                        name,
                    )
                # Read both while the spool is held: its next holder's rows must not seem known.
                found, changed_at = summary(spool), self._changed_at(name)
            self._seen[name] = (changed_at, found)
        except (Held, Corrupt):
            return
        except Exception as fault:
            # Whatever it is, it must not end the search for the others; it is tried again.
            if self._said.get(name) != repr(fault):
                expected = isinstance(fault, Broken | Full | OSError)
                log.error(  # noqa: TRY400 - no traceback of a full disk
                    "spool %s cannot be drained now: %s",
                    name,
                    fault,
                    exc_info=None if expected else fault,
                )
            self._said[name] = repr(fault)

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[Spool]:
        with locked(self._directory, name) as (path, lock):
            if is_to_be_verified(path):
                await _verify(path)
            # A large one is read for a while.
            spool = await asyncio.to_thread(Spool, path, lock, self._bytes_max)
        self.adopted = spool
        try:
            yield spool
        finally:
            self.adopted = None
            # LMDB would wait for the disk that hangs, and the loop with it: it stays ours.
            if spool not in self._stuck:
                spool.close()

    async def _drain(self, spool: Spool) -> None:
        stored = asyncio.Event()
        intake = Intake(spool, waiting_rows_max=0, waiting_bytes_max=0, stored=stored)
        forwarding = asyncio.create_task(self._forwarder(spool, intake, stored).run())
        try:
            while spool.rows and not intake.corrupt.done():
                if forwarding.done():
                    raise RuntimeError("the forwarder of an adopted spool has ended")
                await asyncio.sleep(DRAINED_EVERY_S)
        finally:
            forwarding.cancel()
            await asyncio.wait((forwarding,))
            if not await intake.close():
                self._stuck.append(spool)
        if intake.corrupt.done():
            corrupt = Corrupt(intake.corrupt.result())
            set_aside(self._directory / f"{spool.name}{SUFFIX}", corrupt)
            raise corrupt


async def _verify(path: Path) -> None:
    verifier = await asyncio.create_subprocess_exec(
        *VERIFY, path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(VERIFY_S_MAX):
            _, said = await verifier.communicate()
    except TimeoutError:
        raise Held(f"{path} could not be verified in {VERIFY_S_MAX:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            verifier.kill()
        exit_code = await verifier.wait()
    judge(exit_code, said.decode(errors="replace"))
