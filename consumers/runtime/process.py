"""One consumer process: its settings, its admin port, and the runner that it keeps running."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aiokafka.errors import KafkaError

from consumers.runtime.admin import admin_port
from consumers.runtime.brake import WINDOW_RECORDS, Braked
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.group import join_group
from consumers.runtime.handler import Consumer, OwnSettings, RejectionSettings, Stopped
from consumers.runtime.health import ConsumerHealth
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.ongoing_failure import OngoingFailure
from consumers.runtime.runner import Runner
from schemas.kafka_access import KafkaAccess
from schemas.kafka_security import KAFKA_VARIABLES_PREFIX
from schemas.process import run_process, stop_on_signals
from schemas.setting import Format, Host, Port, Range
from schemas.settings import Settings, SettingsFaults, SharedSettings
from schemas.telemetry import CONSUMER_BRAKED
from schemas.topics import DEAD_LETTERS, is_topic_name, record_bytes_max

log = logging.getLogger("consumers")

# Between an outage of Kafka and the next attempt to join the group.
REJOIN_PAUSE_S = 2.0
# While a stopped consumer waits for a signal, it notes at this interval that its loop works.
NOTE_ALIVE_INTERVAL_S = 10.0
# The cyclic collector scans the held records again and again, and finds nothing: with its own
# thresholds it takes half of a consumer's time. These are high but finite, in case a library makes
# cycles.
GC_THRESHOLDS = (100_000, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings(Settings):
    """CONSUMER_*: every consumer, `python -m consumers NAME`."""

    admin_host: Annotated[Host, "Address on which the admin port listens."] = "127.0.0.1"
    admin_port: Annotated[
        Port,
        "TCP port for health and metrics. If another process uses it, this one exits with code 1.",
    ] = 8082
    rebuild: Annotated[
        bool,
        "Whether to begin a partition at the start of the topic if the sink has no position of it "
        "although the group has committed an offset; otherwise the consumer stops, see "
        '"A consumer stops" in the runbook. It deletes nothing. Set this for one start only.',
    ] = False
    dead_letters_max: Annotated[
        int,
        Range(0, WINDOW_RECORDS, "records"),
        f"Largest number of records, among the last {WINDOW_RECORDS}, that this process sends to "
        "the dead-letter topic. After that, a rejected record is not sent there: the consumer "
        'leaves its group and waits for a person, see "A consumer stops" in the runbook.',
    ] = 100
    dead_letters_topic: Annotated[
        str,
        Format("the name of a topic", is_topic_name),
        "Topic to which this process sends rejected records. The default is for the consumers of "
        "Hookline: the commands, the audit and the statistics read it alone. Another team's "
        "consumer sends its own to a topic of that team, which must exist.",
    ] = DEAD_LETTERS.name
    held_bytes_max: Annotated[
        int,
        Range(1 << 20, 16 << 30, "bytes"),
        "Largest estimated memory for records that are fetched and not yet in the sink, over "
        "all partitions of the process. Fetches in flight come on top: per partition 64 KiB "
        "compressed, or one batch of the producer if that is larger. At this size, nothing "
        "more is fetched, and the largest batch that is still growing goes to the sink early.",
    ] = 64 << 20


async def consume(
    consumer: Consumer[OwnSettings],
    shared: SharedSettings,
    kafka: KafkaAccess,
    own_settings: OwnSettings,
    settings: ConsumerSettings,
) -> None:
    """
    Run `consumer` until SIGTERM or SIGINT. If it must not continue, wait for these signals.

    Raises:
        Stopped: the consumer had stopped and was waiting for a person.
        SettingsFaults: its own settings cannot be used as they are.
    """
    stop = stop_on_signals()
    if consumer.configure is not None:
        rejections = RejectionSettings(settings.dead_letters_topic, settings.dead_letters_max)
        consumer = consumer.configure(shared, kafka, own_settings, rejections)
    kafka = kafka.for_service(consumer.name)
    for name in (consumer.topic.name, settings.dead_letters_topic):
        if not is_topic_name(kafka.topic(name)):
            raise SettingsFaults(
                f"{KAFKA_VARIABLES_PREFIX}PREFIX makes the topic {name} longer than Kafka allows"
            )
    dead_letters = KafkaDeadLetters(
        kafka=kafka,
        record_bytes_max=record_bytes_max(shared.body_bytes_max),
        group=consumer.name,
        topic=settings.dead_letters_topic,
    )
    async with consumer.open(own_settings) as (handler, limits):
        runner = Runner(
            name=consumer.name,
            handler=handler,
            limits=limits,
            dead_letters=dead_letters,
            may_refill_sink=settings.rebuild,
            dead_letters_max=settings.dead_letters_max,
            held_bytes_max=settings.held_bytes_max,
            kafka_prefix=kafka.prefix,
        )
        kafka_availability = KafkaAvailability(consumer.name)
        health = ConsumerHealth(runner, handler, kafka_availability)
        async with admin_port(health, settings.admin_host, settings.admin_port):
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            try:
                await _run(runner, kafka_availability, consumer, kafka, stop)
            except Stopped as stopped:
                # A restart would not help, so the process stays and reports why it has stopped.
                CONSUMER_BRAKED.set(isinstance(stopped, Braked))
                health.stopped = OngoingFailure(stopped, time.monotonic())
                log.critical("%s stops and waits for a person. %s", consumer.name, stopped)
                while not stop.is_set():
                    runner.note_alive()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), NOTE_ALIVE_INTERVAL_S)
                raise


async def _run(
    runner: Runner,
    kafka_availability: KafkaAvailability,
    consumer: Consumer[OwnSettings],
    kafka: KafkaAccess,
    stop: asyncio.Event,
) -> None:
    former_members: set[str] = set()
    while not stop.is_set():
        runner.note_alive()
        try:
            try:
                async with join_group(
                    kafka=kafka,
                    group=consumer.name,
                    topic=consumer.topic.name,
                    owner=runner,
                    kafka_availability=kafka_availability,
                    former_members=former_members,
                ) as source:
                    await runner.run(source, stop)
            finally:
                await runner.revoke_all()  # partitions that were assigned while the client ended
        except (KafkaError, TimeoutError) as error:
            kafka_availability.note_failure(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), REJOIN_PAUSE_S)


def main(consumer: Consumer[OwnSettings], arguments: Sequence[str] | None = None) -> None:
    """Run `consumer` as a process; `--help` lists its settings."""
    run_process(
        f"The consumer {consumer.name}",
        f"Runs one member of the consumer group {consumer.name}"
        f"{'-NAME' if consumer.configure else ''}, which reads the topic {consumer.topic.name}, "
        "until SIGTERM.",
        {consumer.prefix: consumer.settings, "CONSUMER_": ConsumerSettings},
        partial(consume, consumer),
        expected_exceptions=(Stopped,),
        arguments=arguments,
    )
