"""`python -m ingress` receives callbacks by HTTP, stores them on disk and writes them to Kafka."""

import gc

if __name__ == "__main__":
    gc.disable()  # during the imports; `run_process` enables it again

import asyncio
import logging
import resource
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from ingress.admin import admin_application
from ingress.authenticator import Authenticator
from ingress.forward.adopter import Adopter
from ingress.forward.forwarder import Forwarder
from ingress.health import IngressHealth
from ingress.http.failure_log import FailureLog
from ingress.http.receiver import Receiver
from ingress.http.sender_address import SenderAddresses
from ingress.http.server import PublicServer
from ingress.settings import IngressSettings
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any
from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.prefix_note import OtherPipeline, check_or_note_prefix
from ingress.spool.spool import Spool
from schemas.kafka_access import KafkaAccess
from schemas.os_errors import listening, with_path
from schemas.process import run_process, stop_on_signals
from schemas.settings import SettingsFaults, SharedSettings
from schemas.tokens_file import UnusableFile

log = logging.getLogger("ingress")

# Open files besides connections: the spools, Kafka, the admin port.
OTHER_FILES = 200
# Startup objects are frozen and requests create no reference cycles, so collect rarely.
GC_THRESHOLDS = (20_000, 50, 100)


async def serve(
    shared: SharedSettings,
    kafka: KafkaAccess,
    settings: IngressSettings,
    authenticator: Authenticator,
    spool: Spool,
) -> None:
    """
    Receive and forward until SIGTERM or SIGINT; rows that are not forwarded by then stay on disk.

    Raises:
        Corrupt: the spool's file is corrupt, was removed, or was replaced by an older copy. The
            next start verifies a file that is there, and renames a corrupt one.
    """
    stop = stop_on_signals()
    ingress = Ingress(shared, kafka, settings, authenticator, spool)
    try:
        await ingress.listen()
        why_corrupt = await ingress.run(stop)
        await ingress.stop_receiving(immediately=bool(why_corrupt))
    finally:
        await ingress.close()
    if why_corrupt:
        raise Corrupt(why_corrupt)


class Ingress:
    """All parts of one ingress process; each is made after those that it uses."""

    def __init__(
        self,
        shared: SharedSettings,
        kafka: KafkaAccess,
        settings: IngressSettings,
        authenticator: Authenticator,
        spool: Spool,
    ) -> None:
        self._settings = settings
        self._spool = AsyncSpool(
            spool,
            pending_rows_max=settings.pending_rows_max,
            pending_bytes_max=settings.pending_bytes_max,
        )
        self._failure_log = FailureLog(SenderAddresses(settings.gateway_networks))
        self._server = PublicServer(
            Receiver(self._spool, authenticator, path=settings.path),
            self._failure_log,
            settings,
            body_bytes_max=shared.body_bytes_max,
        )
        make_forwarder = partial(Forwarder, kafka=kafka, body_bytes_max=shared.body_bytes_max)
        forwarder = make_forwarder(self._spool)
        adopter = Adopter(
            settings.spool_dir,
            self._spool,
            forwarder,
            make_forwarder,
            bytes_max=settings.spool_bytes_max,
        )
        health = IngressHealth(
            self._spool,
            forwarder,
            adopter,
            authenticator,
            self._server,
            self._failure_log.senders,
            settings,
        )
        self._admin = web.AppRunner(admin_application(health), access_log=None)
        self._background = (
            self._server.close_late_connections,
            self._failure_log.watch,
            forwarder.run,
            adopter.run,
            *([authenticator.file.watch] if authenticator.file else []),
            health.watch,
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        """
        Open the admin port and the public port, then start the background tasks.

        Raises:
            OSError: a port is in use.
        """
        settings = self._settings
        await self._admin.setup()
        with listening("INGRESS_ADMIN_PORT", settings.admin_host, settings.admin_port):
            await web.TCPSite(self._admin, settings.admin_host, settings.admin_port).start()
        with listening("INGRESS_PORT", settings.host, settings.port):
            await self._server.listen(settings.host, settings.port)
        self._tasks = [asyncio.create_task(run()) for run in self._background]
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        state = self._spool.state
        log.info("ready; origin %s ends at sequence %d", state.origin, state.last_sequence)

    async def run(self, stop: asyncio.Event) -> str:
        """
        Wait; return the reason to stop: "" for a signal, else the fault of the spool's file.

        Raises:
            Exception: a background task has failed, which is a bug.
        """
        corruption = self._spool.corruption
        stopping = asyncio.create_task(stop.wait())
        waited: list[asyncio.Future[Any]] = [
            stopping,
            corruption,
            *(task for task in self._tasks if not task.done()),
        ]
        while not (stopping.done() or corruption.done()):
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                waited.remove(task)
        stopping.cancel()
        return corruption.result() if corruption.done() else ""

    async def stop_receiving(self, *, immediately: bool) -> None:
        """
        Be unready for a while, then take no new connections, then answer all requests.

        `immediately` skips the first step: no callback can be stored any more.
        """
        self._server.announces_stop = True
        if immediately:
            log.info("stopping: no new connections")
        else:
            unready_s = self._settings.unready_s
            log.info("stopping: unready for %g s, then no new connections", unready_s)
            await asyncio.sleep(unready_s)
        self._server.stop_listening()
        await self._server.drain()

    async def close(self) -> None:
        """Close the ports, end all tasks, and release the spool as the last thing."""
        self._server.close()
        self._failure_log.log_rest()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._spool.stop()
        # Close the admin port before another process can hold the spool; else two processes would
        # report it.
        await self._admin.cleanup()
        self._spool.close()
        state = self._spool.state
        log.info("stopped; origin %s ends at sequence %d", state.origin, state.last_sequence)


def _raise_open_files_limit(connections_max: int) -> int:
    """Raise the limit of open files as far as `connections_max` needs it; return what it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < connections_max + OTHER_FILES:
        allowed = max(hard - OTHER_FILES, 10)
        log.warning(
            "INGRESS_CONNECTIONS_MAX is lowered from %d to %d: the limit of open files is %d",
            connections_max,
            allowed,
            hard,
        )
        connections_max = allowed
    if soft != resource.RLIM_INFINITY and soft < connections_max + OTHER_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(connections_max + OTHER_FILES, hard), hard))
    return connections_max


def start(
    shared: SharedSettings, kafka: KafkaAccess, settings: IngressSettings
) -> Coroutine[Any, Any, None]:
    """
    Read the tokens file and hold a spool; return the coroutine that serves.

    Raises:
        SettingsFaults: the process cannot start.
    """
    apps, window_s = settings.sdkappids, settings.sign_window_s
    try:
        authenticator = Authenticator(apps, settings.tokens_file, sign_window_s=window_s)
    except UnusableFile as unusable:
        raise SettingsFaults(f"INGRESS_TOKENS_FILE: {unusable}") from unusable
    settings = replace(settings, connections_max=_raise_open_files_limit(settings.connections_max))
    try:
        check_or_note_prefix(settings.spool_dir, kafka.prefix)
        spool = hold_any(settings.spool_dir, bytes_max=settings.spool_bytes_max)
    except OSError as error:
        raise SettingsFaults(f"INGRESS_SPOOL_DIR: {with_path(error)}") from error
    except (DiskFailed, LimitReached, OtherPipeline) as error:
        raise SettingsFaults(f"INGRESS_SPOOL_DIR: {error}") from error
    return serve(shared, kafka.for_service("ingress"), settings, authenticator, spool)


def main() -> None:
    """Run an ingress process."""
    own = {"INGRESS_": IngressSettings}
    expected = (LimitReached, DiskFailed, Corrupt)
    run_process("The ingress", __doc__, own, start, expected_exceptions=expected)


if __name__ == "__main__":
    main()
