"""`python -m ingress` receives callbacks by HTTP, stores them on disk and writes them to Kafka."""

import asyncio
import gc
import logging
import resource
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from aiohttp import web

from ingress import admin
from ingress.authenticator import Authenticator, UnusableFile
from ingress.forward.adopter import Adopter
from ingress.forward.forwarder import Forwarder
from ingress.http.receiver import Receiver
from ingress.http.refusal_log import RefusalLog
from ingress.http.server import PublicServer
from ingress.settings import IngressSettings
from ingress.spool.directory import take
from ingress.spool.disk import Broken, Corrupt, Full
from ingress.spool.intake import Intake
from ingress.spool.spool import Spool
from schemas.process import run_process, stop_on_signals
from schemas.settings import Faults, Shared

log = logging.getLogger("ingress")

# Requests under way are finished within this when the process stops.
SHUTDOWN_S = 5.0
# Beside connections: the spools, Kafka, the admin port.
OTHER_FILES = 200
# What lives for ever is no garbage, and requests make no cycles: collections are rare.
GC_THRESHOLDS = (20_000, 50, 100)


async def serve(
    shared: Shared, settings: IngressSettings, authenticator: Authenticator, spool: Spool
) -> None:
    """
    Receive and forward until SIGTERM or SIGINT; what is still spooled then stays spooled.

    Raises:
        Corrupt: the spool's file is damaged. The next start verifies it and moves it away.
    """
    stop = stop_on_signals()

    stored = asyncio.Event()
    intake = Intake(
        spool,
        waiting_rows_max=settings.waiting_rows_max,
        waiting_bytes_max=settings.waiting_bytes_max,
        stored=stored,
    )

    def forwarder_of(spool: Spool, intake: Intake, stored: asyncio.Event) -> Forwarder:
        return Forwarder(
            spool,
            bootstrap_servers=shared.bootstrap_servers,
            body_bytes_max=shared.body_bytes_max,
            stored=stored,
            intake=intake,
        )

    forwarder = forwarder_of(spool, intake, stored)
    adopter = Adopter(settings.spool_dir, spool, forwarder_of, bytes_max=settings.spool_bytes_max)
    server = PublicServer(
        Receiver(intake, authenticator, path=settings.path),
        RefusalLog(),
        settings,
        body_bytes_max=shared.body_bytes_max,
    )
    health = admin.Health(spool, intake, forwarder, adopter, authenticator, server, settings)
    public = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
    private = web.AppRunner(admin.application(health), access_log=None)
    watching = [
        asyncio.create_task(watch)
        for watch in (forwarder.run(), adopter.run(), authenticator.watch(), health.watch())
    ]
    try:
        await private.setup()
        await web.TCPSite(private, settings.admin_host, settings.admin_port).start()
        await public.setup()
        site = web.TCPSite(public, settings.host, settings.port, backlog=1024)
        await site.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        log.info("spool %s ends at %d; ready", spool.origin, spool.last_sequence)
        corrupt = await _first(stop, intake.corrupt, watching)

        log.info("stopping: unready for %g s, then no new connection", settings.unready_s)
        server.draining = True
        if not corrupt:
            await asyncio.sleep(settings.unready_s)
        await site.stop()
        await server.drain()
    finally:
        await public.cleanup()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        closed = await intake.close()
        await private.cleanup()
        if closed:
            spool.close()
    log.info("stopped; spool %s ends at %d", spool.origin, spool.last_sequence)
    if corrupt:
        raise Corrupt(corrupt)


async def _first(
    stop: asyncio.Event, corrupt: asyncio.Future[str], watching: list[asyncio.Task[None]]
) -> str:
    """Return why to end: "" by a signal. A task that fails is a bug, and raised."""
    stopping = asyncio.create_task(stop.wait())
    waited: list[asyncio.Future[Any]] = [
        stopping,
        corrupt,
        *(task for task in watching if not task.done()),
    ]
    while not (stopping.done() or corrupt.done()):
        done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()
            waited.remove(ended)
    stopping.cancel()
    return corrupt.result() if corrupt.done() else ""


def _connections_max(wanted: int) -> int:
    """Raise the limit of open files as far as `wanted` needs it; return what it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted + OTHER_FILES:
        allowed = max(hard - OTHER_FILES, 10)
        log.warning(
            "INGRESS_CONNECTIONS_MAX is lowered from %d to %d: only %d files may be open (ulimit)",
            wanted,
            allowed,
            hard,
        )
        wanted = allowed
    if soft != resource.RLIM_INFINITY and soft < wanted + OTHER_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted + OTHER_FILES, hard), hard))
    return wanted


def start(shared: Shared, settings: IngressSettings) -> Coroutine[Any, Any, None]:
    """
    Read the file of secrets and take a spool; return the coroutine that serves.

    Raises:
        Faults: the process cannot start.
        Corrupt: a spool cannot be read.
    """
    try:
        authenticator = Authenticator(
            settings.sdkappids, settings.secrets_file, sign_window_s=settings.sign_window_s
        )
    except UnusableFile as unusable:
        raise Faults(f"INGRESS_SECRETS_FILE: {unusable}") from unusable
    settings = replace(settings, connections_max=_connections_max(settings.connections_max))
    try:
        spool = take(settings.spool_dir, bytes_max=settings.spool_bytes_max)
    except (OSError, Broken, Full) as error:
        raise Faults(f"INGRESS_SPOOL_DIR: {error}") from error
    return serve(shared, settings, authenticator, spool)


def main() -> None:
    """Run an ingress process."""
    run_process(
        "The ingress",
        __doc__,
        {"INGRESS_": IngressSettings},
        start,
        ends=(Broken, Full, Corrupt),
    )


if __name__ == "__main__":
    main()
