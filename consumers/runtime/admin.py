"""The admin port of a consumer: /livez, /readyz, /status and /metrics."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from consumers.runtime.handler import Handler, MeasuringHandler, SinkState
from consumers.runtime.kafka_availability import KafkaAvailability, OngoingFailure
from consumers.runtime.phase import Phase, phase_of
from consumers.runtime.runner import Runner
from consumers.runtime.status import ConsumerStatus, Fault
from schemas.rate import RATE_WINDOW_S, Rates
from schemas.telemetry import CONSUMER_METRICS
from schemas.url_text import without_url_secrets


@dataclass(slots=True)
class ConsumerHealth:
    """The health of a consumer process, from all of its parts."""

    runner: Runner
    handler: Handler
    kafka_availability: KafkaAvailability
    # Why the process waits for a person.
    stopped: OngoingFailure | None = None
    rates: Rates = field(init=False)

    def __post_init__(self) -> None:
        """Measure rates over at least two batches."""
        self.rates = Rates(max(RATE_WINDOW_S, 2 * self.runner.batch_age_s))

    async def watch(self) -> None:
        """Note how many records are in the sink, until cancelled."""
        await self.rates.watch(
            lambda: {"records": CONSUMER_METRICS.get_sample_value("consumer_records_total") or 0.0}
        )

    async def status(self) -> ConsumerStatus:
        """Return the content of `/status`."""
        sink = SinkState()
        if isinstance(self.handler, MeasuringHandler):
            sink = await self.handler.measure(self.runner.partitions)
        # A process that has stopped has left its group, and asks Kafka and the sink nothing more.
        stopped = _fault(self.stopped)
        status = self.runner.status(
            stopped=stopped,
            kafka_fault=None if stopped else _fault(self.kafka_availability.failure),
            sink_fault=None if stopped else _fault(sink.failure),
        )
        explained = phase_of(
            status,
            hang_reason=self.runner.hang_reason(),
            positions_missing=self.runner.positions_missing,
        )
        kafka_up = None if stopped else self.kafka_availability.answers
        return msgspec.structs.replace(
            status,
            phase=explained.phase.value,
            phase_because=explained.because,
            kafka_up=False if status.kafka_fault else kafka_up,
            sink_up=False if status.sink_fault else status.sink_up,
            retries=round(CONSUMER_METRICS.get_sample_value("consumer_retries_total") or 0),
            disk_free_bytes=sink.disk_free_bytes,
            records_per_s=self.rates.per_s("records"),
        )

    async def set_gauges(self) -> None:
        """Set the gauges of /metrics to the present values."""
        self.runner.set_gauges(await self.status())


def _fault(failure: OngoingFailure | None) -> Fault | None:
    if failure is None:
        return None
    for_s = max(0.0, time.monotonic() - failure.since)
    what = without_url_secrets(str(failure.error) or repr(failure.error))
    return Fault(what=what, for_s=for_s)


@contextlib.asynccontextmanager
async def admin_port(health: ConsumerHealth, host: str, port: int) -> AsyncIterator[None]:
    """
    Serve the admin port.

    Raises:
        OSError: the port cannot be used.
    """

    async def livez(_: web.Request) -> web.Response:
        if hang_reason := health.runner.hang_reason():
            return web.Response(status=503, text=f"{hang_reason}\n")
        return web.Response(text="the event loop runs\n")

    async def readyz(_: web.Request) -> web.Response:
        now = await health.status()
        code = 200 if now.phase == Phase.WORKING else 503
        return web.Response(status=code, text=f"{now.phase}: {now.phase_because}\n")

    async def status(_: web.Request) -> web.Response:
        body = msgspec.json.format(msgspec.json.encode(await health.status()))
        return web.Response(body=body + b"\n", content_type="application/json")

    async def metrics(request: web.Request) -> web.StreamResponse:
        await health.set_gauges()
        return await scrape(request)

    scrape = make_aiohttp_handler(CONSUMER_METRICS)
    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/status", status),
            web.get("/metrics", metrics),
        ]
    )
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    watching = asyncio.create_task(health.watch())
    try:
        await web.TCPSite(server, host, port).start()
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await server.cleanup()
