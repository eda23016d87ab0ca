"""The admin port of a consumer: /livez, /status and /metrics."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from consumers.runtime.kafka_outage_log import KafkaOutageLog, OngoingFailure
from consumers.runtime.runner import Runner
from consumers.runtime.status import ConsumerStatus, Fault
from schemas.telemetry import CONSUMER


@dataclass(slots=True)
class ConsumerHealth:
    """The health of a consumer process, from all of its parts."""

    runner: Runner
    outage_log: KafkaOutageLog
    # Why the process waits for a person.
    braked: OngoingFailure | None = None

    def status(self) -> ConsumerStatus:
        """Return the content of `/status`."""
        # After the brake, the process has left its group and asks Kafka nothing more.
        outage = None if self.braked else self.outage_log.failure
        return self.runner.status(stopped=_fault(self.braked), kafka_fault=_fault(outage))


def _fault(failure: OngoingFailure | None) -> Fault | None:
    if failure is None:
        return None
    for_s = max(0.0, time.monotonic() - failure.since)
    return Fault(what=str(failure.error) or repr(failure.error), for_s=for_s)


@contextlib.asynccontextmanager
async def admin_port(health: ConsumerHealth, host: str, port: int) -> AsyncIterator[None]:
    """
    Serve the admin port.

    Raises:
        OSError: the port cannot be used.
    """

    async def livez(_: web.Request) -> web.Response:
        if hangs := health.runner.hanging():
            return web.Response(status=503, text=f"{hangs}\n")
        return web.Response(text="the event loop runs\n")

    async def status(_: web.Request) -> web.Response:
        body = msgspec.json.format(msgspec.json.encode(health.status()))
        return web.Response(body=body + b"\n", content_type="application/json")

    async def metrics(request: web.Request) -> web.StreamResponse:
        health.runner.measure()
        return await scrape(request)

    scrape = make_aiohttp_handler(CONSUMER)
    app = web.Application()
    app.add_routes(
        [web.get("/livez", livez), web.get("/status", status), web.get("/metrics", metrics)]
    )
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, host, port).start()
        yield
    finally:
        await server.cleanup()
