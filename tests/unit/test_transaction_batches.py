"""Rows as batches of one transaction, and batches as bytes; tested without Kafka."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.transaction_manager import TransactionManager
from support.builders import a_wire_record, store
from support.kafka.access import plaintext

from ingress.forward import compressed_batch, transaction_batches
from ingress.forward.compressed_batch import CompressedBatch, compress
from ingress.forward.transaction_batches import build_batches, forget_rows_in_steps
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any

ZSTD = 4
BYTES_MAX = 1 << 20
PARTITIONS = [TopicPartition("topic", number) for number in range(3)]
PRODUCER_ID, EPOCH = 17, 3


class Producer:
    """The parts of a transactional producer that make batches, with 6 partitions in each topic."""

    def __init__(self) -> None:
        self._txn_manager = TransactionManager("origin", 10_000)
        self._txn_manager.set_pid_and_epoch(PRODUCER_ID, EPOCH)
        for number, partition in enumerate(PARTITIONS):
            self._txn_manager.increment_sequence_number(partition, 10 * number)

    async def partitions_for(self, _: str) -> set[int]:
        """Return the partitions' numbers."""
        return set(range(6))

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(BYTES_MAX, ZSTD, is_transactional=1)


def a_builder() -> BatchBuilder:
    """Return a batch of two records."""
    builder = BatchBuilder(BYTES_MAX, ZSTD, is_transactional=1)
    for number in (1, 2):
        builder.append(timestamp=number, key=b"key", value=b"%d" % number * 100)
    return builder


async def an_async_spool_of_three(directory: Path) -> AsyncSpool:
    """Return the owner of a new spool with three rows."""
    async_spool = AsyncSpool(
        hold_any(directory, bytes_max=BYTES_MAX), pending_rows_max=10, pending_bytes_max=BYTES_MAX
    )
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in (1, 2, 3)))
    return async_spool


async def test_a_compressed_batch_has_the_bytes_that_aiokafka_would_send() -> None:
    """They include the producer's state."""
    producer: Any = Producer()
    made = await compress(producer, {each: a_builder() for each in PARTITIONS})
    assert list(made) == PARTITIONS
    for number, batch in enumerate(made.values()):
        expected = a_builder()
        state = (PRODUCER_ID, EPOCH, 10 * number)
        expected._set_producer_state(*state)  # noqa: SLF001
        batch._set_producer_state(*state)  # noqa: SLF001
        assert batch._build() == expected._build()  # noqa: SLF001
        assert (batch.record_count(), batch.closed()) == (2, True)


async def test_the_event_loop_turns_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are answered before the next batch is compressed."""
    producer: Any = Producer()
    events: list[str] = []

    class Noted(CompressedBatch):
        def __init__(self, *arguments: Any) -> None:
            events.append("batch")
            super().__init__(*arguments)

    monkeypatch.setattr(compressed_batch, "CompressedBatch", Noted)

    async def answer() -> None:
        while True:
            events.append("answer")
            await asyncio.sleep(0)

    answering = asyncio.create_task(answer())
    await compress(producer, {each: a_builder() for each in PARTITIONS})
    answering.cancel()
    assert events == ["batch", "answer", "batch", "answer", "batch", "answer"]


@pytest.mark.parametrize("other", [(18, EPOCH, 0), (PRODUCER_ID, 4, 0), (PRODUCER_ID, EPOCH, 1)])
def test_a_batch_is_not_sent_with_another_producer_state(other: tuple[int, int, int]) -> None:
    """Kafka would take its records for others, which it has or has not."""
    batch = CompressedBatch(a_builder(), PRODUCER_ID, EPOCH, 0)
    with pytest.raises(AssertionError, match="was compressed for"):
        batch._set_producer_state(*other)  # noqa: SLF001


@pytest.mark.parametrize(
    ("rows_max", "bytes_max", "rows", "full"),
    [
        (2, BYTES_MAX, 2, True),
        (3, BYTES_MAX, 3, True),
        (4, BYTES_MAX, 3, False),
        (4, 1, 3, True),
    ],
)
async def test_batches_are_full_if_a_bound_ended_them(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rows_max: int,
    bytes_max: int,
    *,
    rows: int,
    full: bool,
) -> None:
    """The forwarder sends the next transaction at once after one that is full."""
    monkeypatch.setattr(transaction_batches, "TRANSACTION_BYTES_MAX", bytes_max)
    async_spool = await an_async_spool_of_three(tmp_path)
    producer: Any = Producer()
    made = await build_batches(
        producer, plaintext(""), async_spool, 0, rows_max=rows_max, dead_letters={}
    )
    assert (made.row_count, made.last_sequence, made.is_full) == (rows, rows, full)
    await async_spool.stop()
    async_spool.close()


async def test_rows_that_are_freed_from_memory_stay_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The memory is freed over several turns; rows leave the file only by a commit."""
    monkeypatch.setattr(transaction_batches, "ROWS_FORGOTTEN_PER_STEP", 1)
    async_spool = await an_async_spool_of_three(tmp_path)
    freed: list[int] = []
    forget = async_spool.forget_rows_in_memory

    def noted(sequence: int) -> None:
        freed.append(sequence)
        forget(sequence)

    monkeypatch.setattr(async_spool, "forget_rows_in_memory", noted)
    freeing = asyncio.create_task(forget_rows_in_steps(async_spool, 1, 3))
    await asyncio.sleep(0)
    assert freed == [1]
    await freeing
    rows = async_spool.rows_after(0, rows_max=10, bytes_max=BYTES_MAX)
    assert ([row.sequence for row in rows], freed) == ([1, 2, 3], [1, 2, 3])
    await async_spool.stop()
    async_spool.close()
