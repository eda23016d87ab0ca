"""A consumer's Kafka clients end, even if the broker does not answer any more."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from support.awake import awake_timeout
from support.builders import P0, a_record
from support.kafka.access import plaintext
from support.kafka.parts import BODY_BYTES_MAX

from consumers.runtime import dead_letters
from consumers.runtime.batch import Partition
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.group import join_group
from consumers.runtime.handler import Rejected, Unavailable
from consumers.runtime.source import Source
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics
from schemas import clients
from schemas.topics import CALLBACKS

pytestmark = pytest.mark.timeout(600)

# For a busy machine; below the 40 s of a request without an answer.
ENDS_S_MAX = 20.0


class Member:
    """A member that counts its assignments."""

    def __init__(self) -> None:
        self.partitions = asyncio.Event()

    def assign(self, _: Source, partitions: Sequence[Partition]) -> None:
        """Count the assignment."""
        if partitions:
            self.partitions.set()

    async def revoke_all(self) -> None:
        """Do nothing: it holds no records."""


@contextlib.contextmanager
def frozen(kafka: EmbeddedKafka) -> Iterator[None]:
    """Freeze the broker for the time of the block."""
    assert kafka.process is not None
    os.kill(kafka.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(kafka.process.pid, signal.SIGCONT)


async def nothing_left(before: set["asyncio.Task[Any]"]) -> None:
    """Return when only the tasks of `before` run."""
    left: set[asyncio.Task[Any]] = set()
    try:
        async with awake_timeout(ENDS_S_MAX):
            while left := asyncio.all_tasks() - before:  # noqa: ASYNC110 - a set has no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError([str(task.get_coro()) for task in left]) from None


async def test_a_member_leaves_no_task_behind(
    own_kafka: EmbeddedKafka, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot leave the group of a frozen coordinator, and makes a new client each time."""
    monkeypatch.setattr(clients, "STOP_TIMEOUT_S", 0.5)
    await apply_topics(plaintext(own_kafka.address), body_bytes_max=BODY_BYTES_MAX, replicas=1)
    before = asyncio.all_tasks()
    member, partition = Member(), Partition(CALLBACKS.name, 0)
    async with contextlib.AsyncExitStack() as frozen_at_the_end:
        async with join_group(
            kafka=plaintext(own_kafka.address),
            group=group,
            topic=CALLBACKS.name,
            owner=member,
        ) as source:
            async with asyncio.timeout(180):
                while not member.partitions.is_set():
                    await source.fetch([])
            source.seek(partition, 0)
            await source.fetch([partition])
            frozen_at_the_end.enter_context(frozen(own_kafka))
        await nothing_left(before)


async def test_a_dead_letter_is_given_up_in_time(
    own_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a time-out its producer would wait as long as the broker is away."""
    monkeypatch.setattr(clients, "STOP_TIMEOUT_S", 0.5)
    monkeypatch.setattr(dead_letters, "SEND_TIMEOUT_S", 2.0)
    await apply_topics(plaintext(own_kafka.address), body_bytes_max=BODY_BYTES_MAX, replicas=1)
    topic = KafkaDeadLetters(
        kafka=plaintext(own_kafka.address), record_bytes_max=BODY_BYTES_MAX, group="sync"
    )
    before = asyncio.all_tasks()
    freezing = contextlib.ExitStack()
    send = AIOKafkaProducer.send_and_wait

    async def send_to_a_frozen_one(*args: Any, **named: Any) -> Any:
        freezing.enter_context(frozen(own_kafka))
        return await send(*args, **named)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(AIOKafkaProducer, "send_and_wait", send_to_a_frozen_one)
    with freezing:
        async with awake_timeout(ENDS_S_MAX):
            with pytest.raises(Unavailable):
                await topic.send(
                    P0, a_record(5), Rejected(5, "no"), attempts=1, first_failed_at_ms=1
                )
        await nothing_left(before)
