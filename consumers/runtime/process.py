"""One consumer process: settings, admin port, signals, and the runner between them."""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import uvloop
from aiohttp import web
from aiokafka.errors import KafkaError
from prometheus_client.aiohttp import make_aiohttp_handler

from consumers.runtime.brake import WINDOW_RECORDS, Braked
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.group import join_group
from consumers.runtime.handler import Consumer, Own, Stopped
from consumers.runtime.kafka_outage_log import KafkaOutageLog
from consumers.runtime.runner import Runner
from schemas.process import log_to_stderr, stop_on_signals
from schemas.settings import SHARED_PREFIX, Faults, Shared, listed_one, read_one
from schemas.telemetry import CONSUMER, CONSUMER_STOPPED
from schemas.topics import record_bytes_max

log = logging.getLogger("consumers")

WAIT_FOR_KAFKA_S = 2.0
WAIT_FOR_A_PERSON_S = 10.0
# The cyclic collector looks through what is held, again and again, and finds nothing: with its own
# thresholds it takes half of a consumer's time. High but finite, should a library make cycles.
GC_THRESHOLDS = (100_000, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """CONSUMER_*: what every consumer process has beside its own settings."""

    admin_host: str = "127.0.0.1"
    admin_port: int = 8082
    rebuild: bool = False
    set_aside_max: int = 100
    held_bytes_max: int = 64 << 20

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not 1 <= self.admin_port <= 65535:
            yield "CONSUMER_ADMIN_PORT must be from 1 to 65535"
        if not 0 <= self.set_aside_max <= WINDOW_RECORDS:
            yield f"CONSUMER_SET_ASIDE_MAX must be from 0 to {WINDOW_RECORDS}"
        if not 1 << 20 <= self.held_bytes_max <= 16 << 30:
            yield "CONSUMER_HELD_BYTES_MAX must be from 1048576 (1 MiB) to 17179869184 (16 GiB)"


CONSUMER_PREFIX = "CONSUMER_"


def read_settings(
    consumer: Consumer[Own], env: Mapping[str, str]
) -> tuple[Shared, ConsumerSettings, Own]:
    """
    Return what all processes share, what every consumer has, and the consumer's own settings.

    Raises:
        Faults: with everything that is wrong, not only the first.
    """
    faults: list[str] = []
    shared = read_one(Shared, SHARED_PREFIX, env, faults)
    settings = read_one(ConsumerSettings, CONSUMER_PREFIX, env, faults)
    own = read_one(consumer.settings, consumer.prefix, env, faults)
    if faults or shared is None or settings is None or own is None:
        raise Faults(*faults)
    return shared, settings, own


def explain(consumer: Consumer[Own]) -> str:
    """Return what `--help` says of a consumer."""
    parts = "\n\n".join(
        f"{settings.__doc__}\n{listed_one(settings, prefix)}"
        for settings, prefix in (
            (consumer.settings, consumer.prefix),
            (ConsumerSettings, CONSUMER_PREFIX),
            (Shared, SHARED_PREFIX),
        )
    )
    return (
        f"Runs one member of the group {consumer.name}, which reads {consumer.topic.name}, until "
        "SIGTERM.\nThe environment tells it what to do.\n\n"
        f"{parts}\n\nSee docs/configuration.md."
    )


async def consume(
    consumer: Consumer[Own], shared: Shared, settings: ConsumerSettings, own: Own
) -> None:
    """
    Run `consumer` until SIGTERM or SIGINT.

    Raises:
        Stopped: it must not go on by itself.
        Faults: its own settings cannot be used as they are.
    """
    stop = stop_on_signals()
    dead_letters = KafkaDeadLetters(
        bootstrap_servers=shared.bootstrap_servers,
        record_bytes_max=record_bytes_max(shared.body_bytes_max),
        group=consumer.name,
    )
    async with consumer.open(own) as (handler, limits):
        runner = Runner(
            name=consumer.name,
            handler=handler,
            limits=limits,
            dead_letters=dead_letters,
            rebuild=settings.rebuild,
            set_aside_max=settings.set_aside_max,
            held_bytes_max=settings.held_bytes_max,
        )
        async with _admin(runner, settings):
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            try:
                await _run(runner, consumer, shared, stop)
            except Braked as braked:
                # Restarted, it would set as many aside again, and again.
                CONSUMER_STOPPED.set(1)
                log.critical("%s stops and waits for a person. %s", consumer.name, braked)
                while not stop.is_set():
                    runner.alive()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), WAIT_FOR_A_PERSON_S)
                raise


async def _run(
    runner: Runner, consumer: Consumer[Own], shared: Shared, stop: asyncio.Event
) -> None:
    outage_log = KafkaOutageLog(consumer.name)
    former_members: set[str] = set()
    while not stop.is_set():
        runner.alive()
        try:
            try:
                async with join_group(
                    bootstrap_servers=shared.bootstrap_servers,
                    group=consumer.name,
                    topic=consumer.topic.name,
                    assignments=runner,
                    outage_log=outage_log,
                    former_members=former_members,
                ) as source:
                    await runner.run(source, stop)
            finally:
                await runner.revoked()  # partitions that were assigned while the client ended
        except (KafkaError, TimeoutError) as error:
            outage_log.failed(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WAIT_FOR_KAFKA_S)


@contextlib.asynccontextmanager
async def _admin(runner: Runner, settings: ConsumerSettings) -> AsyncIterator[None]:
    async def livez(_: web.Request) -> web.Response:
        if hangs := runner.hanging():
            return web.Response(status=503, text=f"{hangs}\n")
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


def main(consumer: Consumer[Own], arguments: Sequence[str] | None = None) -> None:
    """Run `consumer`, or say why it cannot run and exit with 1; `--help` tells its settings."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments:
        asked = arguments[0] in ("-h", "--help")
        (sys.stdout if asked else sys.stderr).write(f"{explain(consumer)}\n")
        sys.exit(0 if asked else 2)
    try:
        shared, settings, own = read_settings(consumer, os.environ)
        log_to_stderr(shared)
        log.info("%s: %r %r %r", consumer.name, shared, settings, own)
        uvloop.run(consume(consumer, shared, settings, own))
    except Faults as faults:
        sys.exit(f"The consumer {consumer.name} cannot start:\n{faults}")
    except Stopped as stopped:
        sys.exit(f"The consumer {consumer.name} stops.\n{stopped}")
    except OSError as error:
        sys.exit(f"The consumer {consumer.name} cannot go on:\n  - {error}")
