"""One consumer process: settings, admin port, signals, and the runner between them."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import uvloop
from aiohttp import web
from aiokafka.errors import KafkaError
from prometheus_client.aiohttp import make_aiohttp_handler

from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.handler import Consumer, Stopped
from consumers.runtime.runner import HANDLE_S, Runner
from consumers.runtime.source import kafka_source
from schemas.process import log_to_stderr, stop_on_signals
from schemas.settings import Faults, Shared, read
from schemas.telemetry import CONSUMER
from schemas.topics import CALLBACKS, record_bytes_max

log = logging.getLogger("consumers")

WAIT_FOR_KAFKA_S = 2.0
# The loop turns every 0.2 s, and awaits a handler for HANDLE_S at most for each partition.
HANGING_S = CALLBACKS.partitions * HANDLE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """CONSUMER_*: what every consumer process has beside its own settings."""

    admin_host: str = "127.0.0.1"
    admin_port: int = 8082
    rebuild: bool = False

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not 1 <= self.admin_port <= 65535:
            yield "CONSUMER_ADMIN_PORT must be from 1 to 65535"


async def consume(
    consumer: Consumer, shared: Shared, settings: ConsumerSettings, env: Mapping[str, str]
) -> None:
    """
    Run `consumer` until SIGTERM or SIGINT.

    Raises:
        Stopped: it must not go on by itself.
        Faults: its own settings cannot be used.
    """
    stop = stop_on_signals()
    dead_letters = KafkaDeadLetters(
        bootstrap_servers=shared.bootstrap_servers,
        record_bytes_max=record_bytes_max(shared.body_bytes_max),
        group=consumer.name,
    )
    async with consumer.open(env) as (handler, limits):
        runner = Runner(
            name=consumer.name,
            handler=handler,
            limits=limits,
            dead_letters=dead_letters,
            rebuild=settings.rebuild,
        )
        async with _admin(runner, settings):
            while not stop.is_set():
                runner.turned_at = time.monotonic()
                try:
                    async with kafka_source(
                        bootstrap_servers=shared.bootstrap_servers,
                        group=consumer.name,
                        topic=consumer.topic.name,
                        assignments=runner,
                    ) as source:
                        await runner.run(source, stop)
                except (KafkaError, TimeoutError) as error:
                    log.warning("%s waits for Kafka: %r", consumer.name, error)
                    await runner.taken()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), WAIT_FOR_KAFKA_S)


@contextlib.asynccontextmanager
async def _admin(runner: Runner, settings: ConsumerSettings) -> AsyncIterator[None]:
    async def livez(_: web.Request) -> web.Response:
        still_s = time.monotonic() - runner.turned_at
        if still_s > HANGING_S:
            return web.Response(status=503, text=f"the loop has not turned for {still_s:.0f} s\n")
        return web.Response(text="the loop turns\n")

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/metrics", make_aiohttp_handler(CONSUMER))])
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, settings.admin_host, settings.admin_port).start()
        yield
    finally:
        await server.cleanup()


def main(consumer: Consumer) -> None:
    """Run `consumer`, or say why it cannot run and exit with 1."""
    try:
        shared, settings = read(ConsumerSettings, "CONSUMER_", os.environ)
        log_to_stderr(shared)
        log.info("%s: %r %r", consumer.name, shared, settings)
        uvloop.run(consume(consumer, shared, settings, os.environ))
    except Faults as faults:
        sys.exit(f"The consumer {consumer.name} cannot start:\n{faults}")
    except Stopped as stopped:
        sys.exit(f"The consumer {consumer.name} stops.\n{stopped}")
    except OSError as error:
        sys.exit(f"The consumer {consumer.name} cannot go on:\n  - {error}")
