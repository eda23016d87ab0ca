"""The archive's chain on a server of the S3 API, over a network that tests may disturb."""

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
from support.archive.s3_server import BUCKET, S3Server
from support.builders import P0, P1, a_batch, a_record, a_stored_batch
from support.kafka.tcp_proxy import Network, TcpProxy, tcp_proxy
from support.processes.ingress import until
from support.runner_bench import RunnerBench

from consumers.archive import new_segment, segment, segment_name
from consumers.archive import store as archive_store
from consumers.archive.consumer import ArchiveHandler
from consumers.archive.listing import LISTINGS_MAX
from consumers.archive.store import SegmentStore, open_store
from consumers.archive.store_errors import SegmentExists
from consumers.runtime.batch import Limits, Partition, Position
from consumers.runtime.handler import HANDLE_TIMEOUT_S, PositionDiffers, TookTooLong, Unavailable
from ops.demo.embedded import child

URL = f"s3://{BUCKET}/an/archive"
WRITERS = 24
NAMES = 25


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield a server for all tests here; each test empties the bucket."""
    with child.running(S3Server(tmp_path_factory.mktemp("s3"))) as started:
        yield started


@pytest.fixture
async def network(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TcpProxy]:
    """Yield the proxy before the server, which stores opened from now on use."""
    server.empty()
    async with tcp_proxy(server.port) as proxy:
        for name, value in server.env(proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def store(network: TcpProxy) -> SegmentStore:
    """Return an empty store in a bucket."""
    assert network.network is Network.WORKS
    return open_store(URL)


async def test_a_chain_in_a_bucket_is_a_chain(store: SegmentStore, server: S3Server) -> None:
    """As in a directory: beginning, records, markers; the last segment gives the position."""
    archive = ArchiveHandler(store)
    assert await archive.position(P0) is None
    await archive.store_first_position(P0, Position(5))
    await archive.store_first_position(P0, Position(8))
    assert await archive.position(P0) == Position(5)
    await archive.handle(a_batch(5, 6, 9))
    markers = a_stored_batch(a_record(10), next_offset=12)
    await archive.handle(replace(markers, records=()))
    assert await archive.position(P0) == Position(12, (9, "o" * 16, 9))
    assert await archive.position(P1) is None
    assert await store.partitions() == [P0]
    names = await store.names(P0)
    assert [segment_name.first_offset(name) for name in names] == [0, 5, 10]
    assert [(await store.stat(name)).size for name in names] == [
        len(content) for content in server.objects("an/archive/").values()
    ]
    await store.delete(names[0])
    assert await store.names(P0) == names[1:]


async def test_of_many_writers_of_one_name_one_wins(
    store: SegmentStore, say: Callable[[str], None]
) -> None:
    """Its content is whole and never replaced; all others get Exists."""
    others = open_store(URL)

    async def write(name: str, number: int) -> int:
        with contextlib.suppress(SegmentExists):
            await (store, others)[number % 2].create(name, b"%d" % number * 1000)
            return number
        return -1

    won = 0
    for n in range(NAMES):
        name = f"t/0/{n:020d}-2024-01-01T00{segment_name.SUFFIX}"
        winners = set(await asyncio.gather(*(write(name, w) for w in range(WRITERS)))) - {-1}
        assert len(winners) == 1
        assert await store.read(name) == b"%d" % winners.pop() * 1000
        won += 1
    say(f"S3: {won} names, {WRITERS} writers each, one winner each")


async def test_a_writer_that_loses_the_race_continues_after_the_winners_segment(
    store: SegmentStore,
) -> None:
    """A zombie's shorter segment never replaces its successor's."""
    await ArchiveHandler(store).store_first_position(P0, Position(5))
    late = new_segment.of_batch(a_batch(5, 6))
    await ArchiveHandler(store).handle(a_batch(5, 6, 7))
    with pytest.raises(PositionDiffers) as differs:
        await ArchiveHandler(open_store(URL)).handle(a_batch(5, 6))
    assert differs.value.next_offset == 8
    with pytest.raises(SegmentExists):
        await store.create(*late)
    (_, name) = await store.names(P0)
    assert (await store.summary(name)).last_offset == 7


async def test_the_chain_continues_after_a_segment_whose_answer_was_lost(
    store: SegmentStore, network: TcpProxy
) -> None:
    """It was created, although the writer got no answer: the next attempt continues after it."""
    archive = ArchiveHandler(store)
    await archive.store_first_position(P0, Position(5))
    network.becomes(Network.LOSES_ANSWERS)
    # The client retries by itself, and may then find that the segment exists.
    with pytest.raises((Unavailable, SegmentExists)):
        await store.create(*new_segment.of_batch(a_batch(5, 6, 7)))
    assert network.lost
    network.becomes(Network.WORKS)
    with pytest.raises(PositionDiffers) as differs:
        await archive.handle(a_batch(5, 6, 7))
    assert differs.value.next_offset == 8
    await archive.handle(a_batch(8, 9))
    assert await archive.position(P0) == Position(10, (9, "o" * 16, 9))
    assert [segment_name.first_offset(name) for name in await store.names(P0)] == [0, 5, 8]


@pytest.mark.parametrize("network_is", [Network.REFUSES, Network.SWALLOWS])
async def test_a_network_that_fails_is_an_outage(
    store: SegmentStore, network: TcpProxy, network_is: Network
) -> None:
    """The call fails within the 20 s that the runtime gives it; no record is rejected."""
    archive = ArchiveHandler(store)
    await archive.store_first_position(P0, Position(5))
    network.becomes(network_is)
    async with asyncio.timeout(HANDLE_TIMEOUT_S):
        with pytest.raises(Unavailable):
            await archive.position(P0)
    async with asyncio.timeout(HANDLE_TIMEOUT_S):
        with pytest.raises(Unavailable):
            await archive.handle(a_batch(5))
    network.becomes(Network.WORKS)
    await archive.handle(a_batch(5))
    assert await archive.position(P0) == Position(6, (5, "o" * 16, 5))


async def test_calls_that_are_given_up_leave_few_threads(
    store: SegmentStore, network: TcpProxy
) -> None:
    """Many calls get no answer; the store works again afterwards."""
    archive = ArchiveHandler(store)
    await archive.store_first_position(P0, Position(5))
    before = set(threading.enumerate())
    network.becomes(Network.SWALLOWS)

    def listing() -> int:
        started = set(threading.enumerate()) - before
        return len([each for each in started if each.name.startswith("list")])

    for _ in range(3):
        asking = asyncio.gather(*(archive.position(Partition("t", n)) for n in range(20)))
        await until(lambda: listing() >= LISTINGS_MAX, "as many threads list as may")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert listing() == LISTINGS_MAX
    network.becomes(Network.WORKS)
    # First the threads that wait for the network give up.
    async with asyncio.timeout(180):
        assert await archive.position(P0) == Position(5)


@pytest.mark.parametrize(
    ("env", "bucket", "fault"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, BUCKET, "InvalidAccessKeyId"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, BUCKET, "SignatureDoesNotMatch"),
        ({}, "no-such-bucket", "NoSuchBucket"),
    ],
    ids=["key", "secret", "bucket"],
)
async def test_a_configuration_fault_is_an_outage_whose_error_names_the_fault(
    network: TcpProxy,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    bucket: str,
    fault: str,
) -> None:
    """Wrong keys or a missing bucket are named in one line, when reading and when writing."""
    assert network.network is Network.WORKS
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    archive = ArchiveHandler(open_store(f"s3://{bucket}/an/archive"))
    for asking in (archive.position(P0), archive.handle(a_batch(5))):
        with pytest.raises(Unavailable, match=fault) as unavailable:
            await asking
        assert "\n" not in str(unavailable.value)
        assert bucket in str(unavailable.value)


async def test_a_link_that_is_too_slow_for_a_segment_gets_smaller_ones(
    network: TcpProxy, server: S3Server, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]
) -> None:
    """The archive goes on, although no segment of the configured size passes in the time-out."""
    monkeypatch.setattr(archive_store, "REQUEST_TIMEOUT_S", 2.0)
    chance = random.Random(1)  # noqa: S311 - bodies that cannot be compressed
    bench = RunnerBench(limits=Limits(records=1 << 20, bytes=4 << 20, age_s=5))
    bench.topic.records[P0] = [
        a_record(offset, value=chance.randbytes(100_000)) for offset in range(60)
    ]
    runner = bench.a_runner(handler=(archive := ArchiveHandler(open_store(URL))))
    runner.assign(bench.source, [P0])
    # A segment of the configured size takes 6 s, one of half of it 3 s.
    network.rate = 700_000
    async with asyncio.timeout(300):
        while (position := await archive.position(P0)) is None or position.next_offset < 60:
            await runner.run_round(bench.source)
            bench.clock.now += 0.5
            await asyncio.sleep(0.05)
    await runner.revoke_all()
    contents = list(server.objects("an/archive/").values())
    say(f"segments of {', '.join(str(len(each)) for each in contents)} bytes")
    assert max(map(len, contents)) < 2 << 20
    offsets = [
        json.loads(line)["offset"] for content in contents for line in segment.read_lines(content)
    ]
    assert offsets == list(range(60))


async def test_a_segment_that_the_link_cannot_take_is_reported_with_its_size(
    network: TcpProxy, store: SegmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other failure looks like one of the link's speed."""
    monkeypatch.setattr(archive_store, "REQUEST_TIMEOUT_S", 1.0)
    network.rate = 100_000
    with pytest.raises(TookTooLong, match="a segment of 1000000 bytes within 1 s"):
        await open_store(URL).create("t/0/name", bytes(1_000_000))
    network.becomes(Network.REFUSES)
    with pytest.raises(Unavailable) as refused:
        await store.create("t/0/name", bytes(10))
    assert not isinstance(refused.value, TookTooLong)
