"""Connections to Kafka are cut at random bytes: clients fail in one way, nothing is lost."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from support.fakes import MemoryDeadLetters, MemorySink
from support.kafka.access import plaintext
from support.kafka.client_states import STATES, State
from support.kafka.parts import Pipe, in_topic, many, sequences
from support.kafka.proxied import LOOPS, ProxiedKafka, Watch, kafka_behind_a_proxy
from support.kafka.tcp_proxy import Network, TcpProxy, tcp_proxy
from support.processes.ingress import until
from support.runner_bench import BY_DEFAULT

from consumers.runtime.batch import Batch, Limits
from consumers.runtime.handler import Consumer
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.process import ConsumerSettings, _run
from consumers.runtime.runner import Runner
from ingress.forward import forwarder, next_transaction
from schemas import clients
from schemas.clients import kafka_failures, started
from schemas.topics import CALLBACKS

SEED = 20_240_229
RECOVERS_S_MAX = 180
Say = Callable[[str], None]


@pytest.fixture
def seconds(scaled: Callable[..., int]) -> int:
    """Return for how many seconds connections are cut."""
    return scaled(4, at_most=30)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedKafka]:
    """Yield a broker with the topics, reached by a proxy."""
    with kafka_behind_a_proxy(tmp_path_factory.mktemp("kafka")) as proxied:
        yield proxied


@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", LOOPS)
def test_clients_fail_in_one_way(
    proxied: ProxiedKafka, loop: str, seconds: int, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They raise KafkaError or reach their time-out, and leave no task or connection."""
    monkeypatch.setattr(clients, "STOP_TIMEOUT_S", 0.3)
    chance = random.Random(SEED)  # noqa: S311 - no secret
    outcomes: Counter[str] = Counter()

    async def abuse(until_s: float) -> None:
        while time.monotonic() < until_s:
            state = chance.choice(STATES)
            outcomes[await _outcome(state, proxied.address)] += 1

    async def scene() -> None:
        watch = Watch(proxied.proxy_port)
        async with tcp_proxy(proxied.port, proxied.proxy_port) as proxy:
            proxy.stall_rate = 0.1
            proxy.becomes(Network.CUTS)
            until_s = time.monotonic() + seconds
            await asyncio.gather(*(abuse(until_s) for _ in range(8)))
            counts = f"{proxy.cuts} connections cut, {proxy.stalls} stalled"
            proxy.becomes(Network.WORKS)
            await watch.assert_nothing_left("cuts")
        say(f"{loop}, {seconds} s: {outcomes.total()} clients, {counts}; {dict(outcomes)}")

    LOOPS[loop](scene())
    assert outcomes.total() > 20


async def _outcome(state: State, address: str) -> str:
    """Return the result of a client: the cause of its error, or that it worked."""
    client: Any = state.make(address)
    try:
        async with started(client, 1.0):
            with kafka_failures():
                async with asyncio.timeout(1.0):
                    await state.before(client)
                    await asyncio.gather(*state.after(client))
    except TimeoutError:
        return "TimeoutError"
    except KafkaError as error:
        cause = error.__cause__
        unusual = cause is not None and not isinstance(cause, KafkaError | OSError)
        return type(cause).__name__ if unusual else "KafkaError"
    return "worked"


class SlowSink(MemorySink):
    """A sink that is always busy."""

    async def handle(self, batch: Batch) -> None:
        """Apply the batch after a while."""
        await asyncio.sleep(0.2)
        await super().handle(batch)


@pytest.mark.timeout(600)
def test_a_consumer_survives_it_and_misses_nothing(
    proxied: ProxiedKafka, seconds: int, say: Say
) -> None:
    """Every record is applied once; the consumer continues when the network works again."""

    async def scene() -> None:
        async with tcp_proxy(proxied.port, proxied.proxy_port) as proxy:
            sink, stop = SlowSink(), asyncio.Event()
            consumer = Consumer(
                name="abused", topic=CALLBACKS, settings=ConsumerSettings, open=_unused
            )
            runner = Runner(
                name="abused",
                handler=sink,
                limits=Limits(records=20, bytes=1 << 20, age_s=0.1),
                dead_letters=MemoryDeadLetters(),
                **BY_DEFAULT,
            )
            await _produce(proxied.address, 200 * seconds)
            running = asyncio.create_task(
                _run(
                    runner,
                    KafkaAvailability("abused"),
                    consumer,
                    plaintext(proxied.address),
                    stop,
                )
            )
            try:
                took_s = await _abuse(proxy, running, seconds, proxied.address, sink)
            finally:
                stop.set()
                await asyncio.wait((running,), timeout=180)
            assert running.exception() is None
            say(f"a consumer, {seconds} s: {proxy.cuts} cuts; complete after {took_s:.1f} s")

    LOOPS["uvloop"](scene())


async def _abuse(
    proxy: TcpProxy, running: "asyncio.Task[None]", seconds: int, address: str, sink: MemorySink
) -> float:
    """Cut connections for a while, then return after how many seconds the sink had everything."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        proxy.becomes(Network.CUTS)
        await asyncio.sleep(proxy.chance.uniform(0.2, 2))
        assert not running.done(), running
        # Long enough to get somewhere, so that the next cut finds it at work.
        proxy.becomes(Network.WORKS)
        await asyncio.sleep(proxy.chance.uniform(0, 2))
    proxy.becomes(Network.REFUSES)
    proxy.becomes(Network.WORKS)
    begun = time.monotonic()
    await _produce(address, 100)
    topic: dict[int, list[int]] = {}
    for record in await in_topic(address, None):
        topic.setdefault(record.partition, []).append(record.offset)
    everything = sum(map(len, topic.values()))

    def complete() -> bool:
        assert not running.done(), running
        return sum(map(len, sink.applied.values())) >= everything

    await until(complete, f"the sink has all {everything} records", RECOVERS_S_MAX)
    applied = {partition.number: offsets for partition, offsets in sink.applied.items()}
    assert applied == topic
    return time.monotonic() - begun


async def _produce(address: str, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True) as producer:
        for number in range(count):
            await producer.send(CALLBACKS.name, bytes(1000), key=b"%d" % number)


def _unused(_: object) -> Any:
    raise AssertionError("its handler is given")


@pytest.mark.timeout(600)
def test_a_forwarder_survives_it_and_doubles_nothing(
    proxied: ProxiedKafka,
    tmp_path: Path,
    seconds: int,
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row is in the topic once, in order."""
    rows = 500 * seconds
    # Small transactions, some ten a second, so that they are under way all the time.
    monkeypatch.setattr(next_transaction, "TRANSACTION_ROWS_MAX", 50)
    monkeypatch.setattr(forwarder, "BACKOFF_S_MAX", 0.5)

    async def scene() -> None:
        async with tcp_proxy(proxied.port, proxied.proxy_port) as proxy:
            pipe = Pipe(proxied.address, tmp_path / "spool")
            await pipe.store(many(rows))
            forwarding = asyncio.create_task(pipe.forward(seconds=seconds + RECOVERS_S_MAX))
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                proxy.becomes(Network.CUTS)
                await asyncio.sleep(proxy.chance.uniform(0.2, 2))
                proxy.becomes(Network.WORKS)
                await asyncio.sleep(proxy.chance.uniform(0, 1))
            proxy.becomes(Network.REFUSES)
            proxy.becomes(Network.WORKS)
            await forwarding
            records = await in_topic(proxied.address, pipe.spool.origin)
            say(f"a forwarder, {seconds} s: {proxy.cuts} connections cut, {len(records)} records")
            pipe.close()
            assert sorted(sequences(records)) == list(range(1, rows + 1))

    LOOPS["uvloop"](scene())
