"""A client of Kafka that has to be replaced, and one that only waits."""

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError
from support.kafka.access import plaintext

from consumers.runtime import commits, kafka_source, partition_identities
from consumers.runtime.batch import Partition
from consumers.runtime.group import _Listener
from consumers.runtime.handler import Unavailable
from consumers.runtime.kafka_source import KafkaSource
from consumers.runtime.source import Source
from schemas import missing_topics
from schemas.topic_ids import TopicOnBroker


class Nothing:
    """A client without partitions."""

    async def getmany(self, *_: object, **__: object) -> dict[object, object]:
        """Return nothing at once, as aiokafka does without an assignment."""
        return {}

    def assignment(self) -> set[object]:
        """Return no partition."""
        return set()


async def test_a_client_that_never_joins_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would return no records for ever; a new client joins."""
    client: Any = Nothing()
    source = KafkaSource(client, plaintext(""))
    assert await source.fetch([]) == {}
    monkeypatch.setattr(kafka_source, "REJOIN_TIMEOUT_S", -1)
    with pytest.raises(KafkaError, match="not joined"):
        await source.fetch([])


class Broken(Nothing):
    """A client with a partition, whose last offset it cannot return."""

    def assignment(self) -> set[object]:
        """Return one partition."""
        return {"p"}

    async def end_offsets(self, _: object) -> dict[object, int]:
        """Fail with an exception that is not expected."""
        raise ZeroDivisionError("bug")


async def test_a_bug_in_the_background_ends_the_process() -> None:
    """Otherwise the lag would not change any more, and nothing would show it."""
    client: Any = Broken()
    source = KafkaSource(client, plaintext(""))
    async with source.background_tasks():
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await source.fetch([])


class Committing(Nothing):
    """A client that can commit."""

    def __init__(self) -> None:
        self.committed: list[object] = []

    async def commit(self, offsets: dict[object, int]) -> None:
        """Keep the offsets; refuse an empty set, as aiokafka does."""
        if not offsets:
            raise ValueError(offsets)
        self.committed.append(offsets)


async def test_commits_continue_after_a_rebalance_with_no_offset_to_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the client would be replaced 20 s later."""
    monkeypatch.setattr(commits, "COMMIT_INTERVAL_S", 0)
    client: Any = Committing()
    source = KafkaSource(client, plaintext(""))
    async with source.background_tasks():
        source.commit(Partition("t", 0), 5)
        source.note_left()
        for _ in range(3):
            await asyncio.sleep(0)
        source.commit(Partition("t", 0), 7)
        async with asyncio.timeout(180):
            while not client.committed:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)
        await source.fetch([])
    assert client.committed == [{TopicPartition("t", 0): 7}]


async def test_a_member_without_partitions_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more members than partitions; it waits until one leaves."""
    monkeypatch.setattr(kafka_source, "REJOIN_TIMEOUT_S", -1)
    client: Any = Nothing()
    source = KafkaSource(client, plaintext(""))
    source.note_joined()
    for _ in range(3):
        assert await source.fetch([]) == {}


class OfMissingTopic(Nothing):
    """A client whose topic does not exist."""

    def __init__(self) -> None:
        self._client = SimpleNamespace(
            cluster=ClusterMetadata(), fetch_all_metadata=self._fetch_all_metadata
        )

    async def _fetch_all_metadata(self) -> ClusterMetadata:
        return ClusterMetadata()

    def subscription(self) -> set[str]:
        """Return the name of the topic."""
        return {"t"}


async def test_a_member_whose_topic_is_missing_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no partition, and waits until the topic is created."""
    monkeypatch.setattr(missing_topics, "ANSWER_INTERVAL_S", 0)
    client: Any = OfMissingTopic()
    source = KafkaSource(client, plaintext(""))
    source.note_joined()
    async with source.background_tasks(), asyncio.timeout(180):
        while not caplog.messages:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
        await source.fetch([])
    (said,) = caplog.messages
    assert "topic t does not exist; create it with: hookline topics apply" in said


class Member(Nothing):
    """A client that is a member of a group."""

    class Coordinator:
        """Has the member's id."""

        member_id = "member-1"

    _coordinator = Coordinator()


class Failing:
    """An owner whose methods fail with an exception that is not expected."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def assign(self, _: Source, __: Sequence[Partition]) -> None:
        """Fail."""
        raise self.error

    async def revoke_all(self) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), KafkaError("bug"), OSError("bug")])
@pytest.mark.parametrize("when", ["assigned", "revoked"])
async def test_an_exception_in_the_listener_ends_the_process(when: str, error: Exception) -> None:
    """Aiokafka would log it and continue; it does not count as an outage of Kafka."""
    client: Any = Member()
    source = KafkaSource(client, plaintext(""))
    listener = _Listener(client, plaintext(""), source, Failing(error), set())
    if when == "assigned":
        await listener.on_partitions_assigned([])
    else:
        await listener.on_partitions_revoked([])
    with pytest.raises(RuntimeError, match="rebalance listener failed") as raised:
        await source.fetch([])
    assert not isinstance(raised.value, KafkaError | OSError)
    assert raised.value.__cause__ is error


class Ended(Nothing):
    """A client whose task that fetches has ended."""

    class Fetcher:
        """Its task has failed."""

        def __init__(self) -> None:
            async def fail() -> None:
                raise RuntimeError("the handler is closed")

            self._fetch_task = asyncio.create_task(fail())

    def __init__(self) -> None:
        self._fetcher = self.Fetcher()


async def test_a_client_with_an_ended_task_is_replaced() -> None:
    """It would return no records for ever."""
    client: Any = Ended()
    source = KafkaSource(client, plaintext(""))
    assert await source.fetch([]) == {}
    await asyncio.sleep(0)
    with pytest.raises(KafkaError, match="the task of the client that fetches has ended"):
        await source.fetch([])


class Led(Nothing):
    """A client whose partitions all have one leader."""

    def __init__(self, leader: int | None = 1) -> None:
        self.cluster = self._client = self
        self._leader = leader

    def leader_for_partition(self, _: object) -> int | None:
        """Return the leader."""
        return self._leader


class Broker:
    """Answers when the test allows it; counts the requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.topic_id = "one"
        self.fails = False
        self.answers = asyncio.Event()
        monkeypatch.setattr(partition_identities, "describe_topic", self.describe_topic)

    async def describe_topic(self, *_: object) -> TopicOnBroker:
        """Return the topic as it was when the request arrived."""
        self.asked += 1
        described = TopicOnBroker(self.topic_id, {0: 7, 1: 8}, "a connection")
        await self.answers.wait()
        if self.fails:
            raise KafkaError("gone")
        return described


async def test_partitions_share_a_request_that_was_sent_late_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request that was sent before the records were fetched proves nothing about them."""
    broker, client = Broker(monkeypatch), Led()
    source = KafkaSource(cast("Any", client), plaintext(""))
    now = time.monotonic()
    asking = [
        asyncio.create_task(source.log_identity(Partition("t", at), since=now)) for at in range(2)
    ]
    while broker.asked < 1:  # noqa: ASYNC110 - a request is a task of its own
        await asyncio.sleep(0)
    broker.topic_id = "two"
    later = asyncio.create_task(source.log_identity(Partition("t", 0), since=time.monotonic()))
    while broker.asked < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    broker.answers.set()
    first, second = await asyncio.gather(*asking)
    assert (first.topic_id, second.topic_id, (await later).topic_id) == ("one", "one", "two")
    assert first.log_version != second.log_version  # each partition has an epoch of its own
    assert broker.asked == 2


async def test_a_failed_request_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other partition uses its answer."""
    broker, client = Broker(monkeypatch), Led()
    broker.answers.set()
    broker.fails = True
    source = KafkaSource(cast("Any", client), plaintext(""))
    now = time.monotonic()
    with pytest.raises(Unavailable, match="the id of topic t"):
        await source.log_identity(Partition("t", 0), since=now)
    broker.fails = False
    assert (await source.log_identity(Partition("t", 0), since=now)).topic_id == "one"


@pytest.mark.parametrize("leader", [None, -1])
async def test_without_a_leader_no_request_is_sent(leader: int | None) -> None:
    """The topic is deleted, or a leader is being elected."""
    source = KafkaSource(cast("Any", Led(leader)), plaintext(""))
    with pytest.raises(Unavailable, match="no leader of t/0"):
        await source.log_identity(Partition("t", 0), since=0)


async def test_a_client_that_shuts_down_cancels_its_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The callers get an error."""
    Broker(monkeypatch)
    source = KafkaSource(cast("Any", Led()), plaintext(""))
    async with source.background_tasks():
        asking = asyncio.create_task(source.log_identity(Partition("t", 0), since=time.monotonic()))
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="the Kafka client is shutting down"):
        await asking
