"""The forwarder removes rows from the spool only after their commit; tested without Kafka."""

import asyncio
import math
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from support.builders import a_wire_record, store
from support.kafka.access import plaintext

from ingress.forward import forwarder as forwarding
from ingress.forward import pace, transaction_batches
from ingress.forward.forwarder import Forwarder
from ingress.forward.transaction_batches import TransactionBatches
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any
from schemas.transaction_state import TransactionOutcome

BYTES_MAX = 1 << 20
ROWS = 3


class ForwarderInDoubt(Forwarder):
    """A forwarder whose transactions wait until the test lets them end."""

    def __init__(self, async_spool: AsyncSpool) -> None:
        super().__init__(async_spool, kafka=plaintext(""), body_bytes_max=1024)
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def _send_transaction(self, *_: Any) -> None:
        await self.outcome

    async def send_all(self) -> None:
        """Send the rows 1 to ROWS."""
        no_producer: Any = None
        await self._send(no_producer, TransactionBatches(ROWS, row_count=ROWS))


@pytest.mark.parametrize("is_committed", [True, False])
async def test_rows_leave_the_spool_only_after_their_transaction_is_committed(
    tmp_path: Path, *, is_committed: bool
) -> None:
    """Rows of a transaction that is in doubt or has failed may have to be sent again."""
    async_spool = AsyncSpool(
        hold_any(tmp_path, bytes_max=BYTES_MAX), pending_rows_max=10, pending_bytes_max=BYTES_MAX
    )
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in range(1, ROWS + 1)))
    forwarder = ForwarderInDoubt(async_spool)
    forwarder.fault.note_failure(KafkaError("by the test"), "origin", 0)
    sending = asyncio.create_task(forwarder.send_all())
    await asyncio.sleep(0)
    # A commit that removes rows if that was asked too early.
    await store(async_spool, a_wire_record(4), 4)
    assert (async_spool.state.first_sequence, forwarder.forwarded_sequence) == (1, 0)
    if is_committed:
        forwarder.outcome.set_result(None)
        await sending
    else:
        forwarder.outcome.set_exception(KafkaError("injected by the test"))
        with pytest.raises(KafkaError):
            await sending
    await store(async_spool, a_wire_record(5), 5)
    await async_spool.stop()
    expected = (ROWS + 1, ROWS) if is_committed else (1, 0)
    assert (async_spool.state.first_sequence, forwarder.forwarded_sequence) == expected
    # Only rows that were sent end a fault.
    assert (forwarder.fault.failing_since is None) is is_committed
    async_spool.close()


async def test_a_forwarder_that_ends_while_it_frees_memory_removes_the_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The removal is noted in the turn in which the commit is known."""
    monkeypatch.setattr(transaction_batches, "ROWS_FORGOTTEN_PER_STEP", 1)
    async_spool = AsyncSpool(
        hold_any(tmp_path, bytes_max=BYTES_MAX), pending_rows_max=10, pending_bytes_max=BYTES_MAX
    )
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in range(1, ROWS + 1)))
    forwarder = ForwarderInDoubt(async_spool)
    forwarder.outcome.set_result(None)
    sending = asyncio.create_task(forwarder.send_all())
    while not forwarder.forwarded_sequence:  # noqa: ASYNC110 - one turn
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await store(async_spool, a_wire_record(ROWS + 1), ROWS + 1)
    assert async_spool.state.first_sequence == ROWS + 1
    await async_spool.stop()
    async_spool.close()


@pytest.mark.parametrize(
    ("age_s", "rows", "begins"),
    [
        (0.0, 1, False),
        (0.0, 4, True),
        (pace.TRANSACTION_INTERVAL_S, 1, True),
        (pace.TRANSACTION_INTERVAL_S, 2, False),
        (pace.LOADED_INTERVAL_S, 2, True),
    ],
)
async def test_the_next_transaction_begins_by_time_and_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, age_s: float, rows: int, begins: bool
) -> None:
    """Few rows are sent soon, many at once, and under load rows wait for others."""
    monkeypatch.setattr(pace, "LOADED_ROWS", 2)
    monkeypatch.setattr(pace, "MANY_ROWS", 4)
    async_spool = AsyncSpool(
        hold_any(tmp_path, bytes_max=BYTES_MAX), pending_rows_max=10, pending_bytes_max=BYTES_MAX
    )
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in range(1, rows + 1)))
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: age_s)
    waiting = asyncio.create_task(pace.wait_for_next_transaction(async_spool, 0, 0.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert waiting.done() == begins
    waiting.cancel()
    monkeypatch.undo()
    await async_spool.stop()
    async_spool.close()


async def test_rows_that_come_meanwhile_begin_the_next_transaction(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under load the forwarder does not wait for its interval to end."""
    monkeypatch.setattr(pace, "MANY_ROWS", ROWS)
    async_spool = AsyncSpool(
        hold_any(tmp_path, bytes_max=BYTES_MAX), pending_rows_max=10, pending_bytes_max=BYTES_MAX
    )
    waiting = asyncio.create_task(pace.wait_for_next_transaction(async_spool, 0, math.inf))
    for number in range(1, ROWS):
        await store(async_spool, a_wire_record(number), number)
    await asyncio.sleep(2 * pace.POLL_INTERVAL_S)
    assert not waiting.done()
    await store(async_spool, a_wire_record(ROWS), ROWS)
    await waiting
    await async_spool.stop()
    async_spool.close()


async def test_a_forwarder_may_not_end_once_it_has_begun_to_settle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator may then have the transaction of `settle` in place of the last one."""
    async_spool = AsyncSpool(
        hold_any(tmp_path, bytes_max=BYTES_MAX), pending_rows_max=1, pending_bytes_max=1
    )
    forwarder = Forwarder(async_spool, kafka=plaintext(""), body_bytes_max=1024)
    assert forwarder.is_replaceable
    monkeypatch.setattr(forwarder._last_outcome, "_outcome", TransactionOutcome.COMMITTED)  # noqa: SLF001
    assert forwarder.is_replaceable

    async def begins(*_: Any) -> None:
        pass

    async def fails(_: Any, __: Any, settling: Coroutine[Any, Any, None]) -> None:
        settling.close()
        raise KafkaError("injected by the test")

    monkeypatch.setattr(forwarder._marker_check, "begin", begins)  # noqa: SLF001
    monkeypatch.setattr(forwarding, "end_transaction", fails)
    no_producer: Any = SimpleNamespace(client=None)
    with pytest.raises(KafkaError):
        await forwarder._settle_and_read_cursor(no_producer)  # noqa: SLF001 - `run` needs Kafka
    assert not forwarder.is_replaceable
    await async_spool.stop()
    async_spool.close()
