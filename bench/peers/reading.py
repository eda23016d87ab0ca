"""
Run a reading peer, configured by the environment.

KAFKA, GROUP, RECORDS (the number to read) and DIRECTORY, for the output of the peer
and for two files that show its progress: BEGUN before the first request to Kafka, ENDED when
all is read and written.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from bench.peers.kafka import TOPIC

Take = Callable[[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]], Awaitable[None]]
BEGUN, ENDED = "begun", "ended"
POLL_MS = 200


async def _nothing() -> None:
    """Do nothing at the end: what was taken is written."""


def run(take: Take, *, end: Callable[[], Awaitable[None]] = _nothing, **options: Any) -> None:
    """Read RECORDS from the topic's beginning and stay until the process is killed."""
    uvloop.run(_run(take, end, options))


async def _run(take: Take, end: Callable[[], Awaitable[None]], options: dict[str, Any]) -> None:
    directory, left = Path(os.environ["DIRECTORY"]), int(os.environ["RECORDS"])
    # Within the running loop: aiokafka's consumers belong to one.
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **options,
    )
    (directory / BEGUN).touch()
    await consumer.start()
    while left > 0:
        for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            await take(partition, records)
            left -= len(records)
    await end()
    (directory / ENDED).touch()
    # The measuring process reads afterwards how much memory this process used.
    await asyncio.Event().wait()
