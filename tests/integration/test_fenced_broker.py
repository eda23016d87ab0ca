"""
A broker that was fenced while it ran has ended a transaction without its markers.

The controller really fences the broker: it is frozen for longer than its session. The markers are
left out by support.kafka.half_ended: the broker itself leaves them out only if it looks for leaders
in the few milliseconds without any. The last test lets the broker do that.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from support.kafka.access import plaintext
from support.kafka.broker import Broker, running_broker
from support.kafka.fenced import fence
from support.kafka.half_ended import CARELESS, RECORDS, forgetting, leave_open
from support.kafka.parts import Pipe, in_topic, many, sequences

from consumers.runtime.batch import Position
from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.retry_partition import OwnershipLost, RetryPartition
from consumers.webhook.retry_topic import RetryTopic
from ingress.forward import forwarder, next_transaction
from ingress.forward.settle import settle
from ingress.forward.transaction import send_batches
from ingress.forward.transaction_batches import TransactionBatches
from schemas import marker_check
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.transaction_state import transaction_state

pytestmark = pytest.mark.timeout(300)

ROWS = 30
# Of the last test. With a short session, a fence takes half a second.
FORWARDERS, ROWS_AT_RANDOM, SHORT_SESSION_MS = 8, 1000, 300
# Has the broker log the transactions whose markers it leaves out.
LOG_OF_MARKERS = "-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction=info"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yield a broker with a short session that accepts writes outside of transactions."""
    with running_broker(tmp_path_factory.mktemp("fenced"), properties=CARELESS) as started:
        asyncio.run(started.make_topics())
        yield started


@pytest.fixture
def pipe(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Yield a spool whose forwarder sends ROWS in a transaction."""
    monkeypatch.setattr(next_transaction, "TRANSACTION_ROWS_MAX", ROWS)
    with contextlib.closing(Pipe(broker.address, tmp_path / "spool")) as made:
        yield made


def fence_after(producer: AIOKafkaProducer, end: str, broker: Broker) -> None:
    """Fence `broker` after the next call of the method `end` of `producer`."""
    method = getattr(producer, end)

    async def end_and_fence() -> None:
        setattr(producer, end, method)
        await method()
        await fence(broker)

    setattr(producer, end, end_and_fence)


class Fault:
    """Refuses some transactions that carry rows, by their number, and leaves the first one open."""

    def __init__(self, broker: Broker, *, refused: tuple[int, ...], left_open: bool = True) -> None:
        self._broker = broker
        self._refused = refused
        self._left_open = left_open
        self.sent = 0

    async def send_batches(
        self, producer: AIOKafkaProducer, kafka: KafkaAccess, batches: TransactionBatches
    ) -> None:
        """Send as the forwarder does, then raise if the transaction is to be refused."""
        self.sent += 1
        first = self.sent == 1 and self._left_open
        with forgetting(producer, RECORDS if first else ()):
            await send_batches(producer, kafka, batches)
        for end in ("commit_transaction", "abort_transaction") if first else ():
            fence_after(producer, end, self._broker)
        if self.sent in self._refused:
            raise MessageSizeTooLargeError("injected by the test")


@pytest.mark.parametrize(
    "refused",
    [(2,), (1,), ()],
    ids=["committed, then aborted", "aborted, then committed", "committed, and the others as well"],
)
async def test_a_transaction_ends_as_it_was_decided_although_its_broker_was_fenced(
    broker: Broker, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...]
) -> None:
    """Otherwise the next one would end it: rows would be missing, or there twice."""
    fault = Fault(broker, refused=refused)
    monkeypatch.setattr(forwarder, "send_batches", fault.send_batches)
    await pipe.store(many(3 * ROWS))
    await pipe.forward()
    records = await in_topic(broker.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 3 * ROWS + 1))
    assert fault.sent >= 3


async def test_rows_of_the_last_transaction_do_not_stay_invisible(
    broker: Broker, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They leave the spool only when readers see them: its forwarder may end after that."""
    fault = Fault(broker, refused=())
    monkeypatch.setattr(forwarder, "send_batches", fault.send_batches)
    await pipe.store(many(ROWS))
    await pipe.forward(until=lambda: pipe.spool.row_count == 0)
    records = await in_topic(broker.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("ended", ["committed", "aborted"])
async def test_settling_is_repeated_if_the_broker_is_fenced_meanwhile(
    broker: Broker, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """The coordinator does not know the decision any more, so the forwarder remembers it."""
    settled = []

    async def settle_and_fence(
        producer: AIOKafkaProducer, kafka: KafkaAccess, group: str, *, abort: bool
    ) -> None:
        settled.append(abort)
        with forgetting(producer, RECORDS if len(settled) == 1 else ()):
            await settle(producer, kafka, group, abort=abort)
        if len(settled) == 1:
            await fence(broker)

    await pipe.store(many(ROWS))
    await leave_open(pipe, RECORDS, abort=ended == "aborted")
    fault = Fault(broker, refused=(1,) if ended == "committed" else (), left_open=False)
    monkeypatch.setattr(forwarder, "send_batches", fault.send_batches)
    monkeypatch.setattr(forwarder, "settle", settle_and_fence)
    await pipe.store(many(ROWS, first=ROWS + 1))
    await pipe.forward()
    records = await in_topic(broker.address, pipe.spool.origin)
    assert sorted(sequences(records)) == list(range(1, 2 * ROWS + 1))
    assert settled[:2] == [ended == "aborted"] * 2


@contextlib.asynccontextmanager
async def claimed(topic: RetryTopic) -> AsyncIterator[RetryPartition]:
    """Claim partition 0; as a member does, try again while Kafka does not answer."""
    async with contextlib.AsyncExitStack() as opened:
        owner: RetryPartition | None = None
        while owner is None:
            with contextlib.suppress(KafkaUnavailable):
                owner = await opened.enter_async_context(topic.claim(0))
        yield owner


async def state_once_loaded(
    client: AIOKafkaClient, coordinator: int, transactional_id: KafkaName
) -> str:
    """Return the state as `transaction_state` does, once the new coordinator has loaded it."""
    while True:
        try:
            return await transaction_state(client, coordinator, transactional_id)
        except KafkaError as error:
            if "the transaction's coordinator answers" not in str(error):
                raise


async def test_a_change_of_a_retry_topic_is_not_undone_by_the_next_one(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner writes no other before a claim of the partition has ended the change."""
    # An answer during the loading is a failure, too, which hides the one that is tested here.
    monkeypatch.setattr(marker_check, "transaction_state", state_once_loaded)
    topic = RetryTopic(kafka=plaintext(broker.address), name="fenced", record_bytes_max=1 << 20)
    async with claimed(topic) as owner:
        producer = owner._producer  # noqa: SLF001
        fence_after(producer, "commit_transaction", broker)
        with (
            forgetting(producer, [TopicPartition(topic.topic, 0)]),
            pytest.raises(OwnershipLost, match="leaders of partitions changed"),
        ):
            await owner.write([Position(5, None, "topic")])
        with pytest.raises(OwnershipLost):
            await owner.write([Position(6, None, "topic")])
    async with claimed(topic) as successor:
        assert successor.state.position == Position(5, None, "topic")


class Refusals:
    """Refuses every second transaction of each forwarder, so that no two end alike."""

    def __init__(self) -> None:
        self._sent: Counter[str] = Counter()

    async def send_batches(
        self, producer: AIOKafkaProducer, kafka: KafkaAccess, batches: TransactionBatches
    ) -> None:
        """Send as the forwarder does, then raise if the transaction is to be refused."""
        await send_batches(producer, kafka, batches)
        origin = producer._txn_manager.transactional_id  # noqa: SLF001
        self._sent[origin] += 1
        # A single row that is refused would become a dead letter.
        if self._sent[origin] % 2 and batches.row_count > 1:
            raise MessageSizeTooLargeError("injected by the test")


@pytest.mark.timeout(600)
async def test_a_broker_that_is_fenced_at_random_loses_and_doubles_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """
    Many forwarders commit and abort small transactions; the broker leaves out markers by itself.

    Its log says how often: some times, mostly those of transactions that settle. That may also be
    never, and a forwarder without the check may be lucky, so the other tests do not rely on it.
    """
    fences = scaled(6, at_most=100)
    # Many transactions, so that some end at the moment of a fence.
    monkeypatch.setattr(forwarder, "BACKOFF_S_MAX", 0.2)
    monkeypatch.setattr(next_transaction, "TRANSACTION_ROWS_MAX", ROWS)
    monkeypatch.setattr(forwarder, "send_batches", Refusals().send_batches)
    monkeypatch.setenv("JDK_JAVA_OPTIONS", LOG_OF_MARKERS)
    with contextlib.ExitStack() as opened:
        broker = opened.enter_context(
            running_broker(tmp_path / "kafka", session_ms=SHORT_SESSION_MS)
        )
        await broker.make_topics()
        pipes = [
            opened.enter_context(contextlib.closing(Pipe(broker.address, tmp_path / f"spool{n}")))
            for n in range(FORWARDERS)
        ]
        await asyncio.gather(*(pipe.store(many(ROWS_AT_RANDOM)) for pipe in pipes))
        fencing = asyncio.create_task(fence_repeatedly(broker, fences))
        # A forwarder that dies while it settles is what decision 0017 does not cover.
        stopped = [partial(can_be_abandoned, pipe, fencing) for pipe in pipes]
        await asyncio.gather(
            *(pipe.forward(until=until) for pipe, until in zip(pipes, stopped, strict=True))
        )
        await fencing
        monkeypatch.undo()
        await asyncio.gather(*(pipe.forward() for pipe in pipes))
        in_kafka = {
            pipe.spool.origin: sorted(sequences(await in_topic(broker.address, pipe.spool.origin)))
            for pipe in pipes
        }
        left_out = broker.log.read_text().count("likely deleted already")
    say(f"{fences} fences; the broker left out markers {left_out} times")
    assert in_kafka == {origin: list(range(1, ROWS_AT_RANDOM + 1)) for origin in in_kafka}
    assert len(in_kafka) == FORWARDERS


def can_be_abandoned(pipe: Pipe, fencing: asyncio.Task[None]) -> bool:
    """Return whether the fences are over and no decision is known only to the pipe's forwarder."""
    return fencing.done() and pipe.forwarder is not None and pipe.forwarder.is_replaceable


async def fence_repeatedly(broker: Broker, times: int) -> None:
    """Fence `broker` so many times, with some time between for transactions."""
    for _ in range(times):
        await asyncio.sleep(0.5)
        await fence(broker, session_ms=SHORT_SESSION_MS)
