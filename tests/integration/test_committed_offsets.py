"""
The group's coordinator moves just before it is asked for committed offsets.

A broker that is not the coordinator, or not yet, answers then, as a fenced one does. Here it is
another broker, which has no groups at all, so that its answer is real.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import NotCoordinatorForGroupError
from support.kafka.access import plaintext
from support.kafka.half_ended import leave_open, under_way
from support.kafka.parts import Pipe, in_topic, many, sequences

from consumers.runtime.batch import Partition
from consumers.runtime.group import join_group
from consumers.runtime.source import Source
from ingress.forward.cursor import read_cursor
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas import committed_offsets
from schemas.clients import started
from schemas.offset_fetch import OffsetFetch
from schemas.topics import CALLBACKS

ROWS = 60
_NODE = 1


@pytest.fixture
async def answers(
    own_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Any]]:
    """Have `own_kafka` answer the next request for committed offsets; return its answers."""
    given: list[Any] = []
    send: Any = AIOKafkaClient.send
    async with started(AIOKafkaClient(bootstrap_servers=own_kafka.address), 180) as other:

        async def send_to_another(self: Any, node: int, request: Any, **options: Any) -> Any:
            if given or not isinstance(request, OffsetFetch):
                return await send(self, node, request, **options)
            answer = await send(other, _NODE, request, group=ConnectionGroup.COORDINATION)
            given.append(answer)
            return answer

        monkeypatch.setattr(AIOKafkaClient, "send", send_to_another)
        yield given


def assert_refused(answers: list[Any]) -> None:
    """Check that the other broker refused, with an error that no partition has."""
    (answer,) = answers
    assert (answer.error_code, answer.topics) == (NotCoordinatorForGroupError.errno, [])


async def test_a_cursor_that_a_transaction_may_still_commit_is_waited_for(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """An older coordinator, which has lost its group, is refused by the same rule of Kafka."""
    kafka = plaintext(empty_kafka.address)
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        async with under_way(pipe, []) as producer:
            reading = asyncio.create_task(read_cursor(kafka, pipe.spool.origin))
            await asyncio.wait((reading,), timeout=1)
            assert not reading.done()
            await producer.commit_transaction()
            assert (await reading).sequence == ROWS


async def test_a_transaction_that_hangs_does_not_hide_the_cursor(
    empty_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its producer's id has expired, for example, so that no forwarder can end it."""
    monkeypatch.setattr(committed_offsets, "UNSTABLE_S_MAX", 0.3)
    kafka = plaintext(empty_kafka.address)
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, [], abort=False)
        async with under_way(pipe, []) as producer:
            assert (await read_cursor(kafka, pipe.spool.origin)).sequence == ROWS
            await producer.abort_transaction()


async def test_rows_are_not_sent_again_although_the_cursor_was_not_known_at_first(
    empty_kafka: EmbeddedKafka, answers: list[Any], tmp_path: Path
) -> None:
    """The spool still has rows that Kafka has."""
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(ROWS))
        await leave_open(pipe, [], abort=False)
        await pipe.forward()
        assert_refused(answers)
        records = await in_topic(empty_kafka.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, ROWS + 1))


class Asking:
    """A member that asks for its committed offset, commits one if there is none, and asks again."""

    def __init__(self) -> None:
        self.partition: asyncio.Future[Partition] = asyncio.get_running_loop().create_future()

    def assign(self, _: Source, partitions: Sequence[Partition]) -> None:
        """Note the first partition."""
        if partitions and not self.partition.done():
            self.partition.set_result(partitions[0])

    async def revoke_all(self) -> None:
        """Do nothing: it holds no records."""


async def test_a_member_does_not_take_its_committed_offset_for_missing(
    empty_kafka: EmbeddedKafka, answers: list[Any], group: str
) -> None:
    """Otherwise it would not notice that its sink was emptied."""
    # The first answer is for the second member.
    answers.append(None)
    for number in range(2):
        member = Asking()
        async with join_group(
            kafka=plaintext(empty_kafka.address), group=group, topic=CALLBACKS.name, owner=member
        ) as source:
            while not member.partition.done():
                await source.fetch([])
            partition = member.partition.result()
            if number == 0:
                source.commit(partition, 0)
                while await source.committed(partition) is None:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.05)
                answers.clear()
            else:
                assert await source.committed(partition) == 0
    assert_refused(answers)
