"""One ingress process: `python -m ingress`, told by INGRESS_* and HOOKLINE_* what to do."""

import asyncio
import contextlib
import logging
import os
import sys

import uvloop
from aiohttp import web

from ingress import admin, receive
from ingress.forwarder import Forwarder
from ingress.intake import Intake
from ingress.settings import IngressSettings
from ingress.spool import Broken, Full, Spool
from ingress.spools import take
from schemas.process import log_to_stderr, stop_on_signals
from schemas.settings import Faults, Shared, read

log = logging.getLogger("ingress")

# Requests under way are finished within this when the process stops.
SHUTDOWN_S = 5.0


async def serve(shared: Shared, settings: IngressSettings, spool: Spool) -> None:
    """Receive and forward until SIGTERM or SIGINT. What is still spooled then stays spooled."""
    stop = stop_on_signals()

    stored = asyncio.Event()
    intake = Intake(
        spool,
        waiting_rows_max=settings.waiting_rows_max,
        waiting_bytes_max=settings.waiting_bytes_max,
        stored=stored,
    )
    forwarder = Forwarder(
        spool,
        bootstrap_servers=shared.bootstrap_servers,
        body_bytes_max=shared.body_bytes_max,
        stored=stored,
        intake=intake,
    )
    health = admin.Health(spool, intake, forwarder, settings)
    public = web.ServerRunner(
        receive.server(intake, settings, body_bytes_max=shared.body_bytes_max),
        shutdown_timeout=SHUTDOWN_S,
    )
    private = web.AppRunner(admin.application(health), access_log=None)
    forwarding = asyncio.create_task(forwarder.run())
    try:
        await private.setup()
        await web.TCPSite(private, settings.admin_host, settings.admin_port).start()
        await public.setup()
        await web.TCPSite(public, settings.host, settings.port, backlog=1024).start()
        log.info("spool %s ends at %d; ready", spool.origin, spool.last_sequence)
        await stop.wait()

        log.info("stopping: unready for %g s, then no new connection", settings.unready_s)
        health.draining = True
        await asyncio.sleep(settings.unready_s)
    finally:
        await public.cleanup()
        forwarding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forwarding
        await intake.close()
        await private.cleanup()
        spool.close()
        log.info("stopped; spool %s ends at %d", spool.origin, spool.last_sequence)


def main() -> None:
    """Start, or say everything that keeps the process from starting and exit with 1."""
    try:
        shared, settings = read(IngressSettings, "INGRESS_", os.environ)
    except Faults as faults:
        sys.exit(f"The ingress cannot start:\n{faults}")
    log_to_stderr(shared)
    log.info("%r %r", shared, settings)
    try:
        spool = take(settings.spool_dir, bytes_max=settings.spool_bytes_max)
        uvloop.run(serve(shared, settings, spool))
    except (OSError, Broken, Full) as error:
        sys.exit(f"The ingress cannot start:\n  - {error}")


if __name__ == "__main__":
    main()
