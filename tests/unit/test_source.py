"""When a member of a group is lost, and when it only has nothing to do."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime import source as source_module
from consumers.runtime.batch import Partition
from consumers.runtime.group import _Listener
from consumers.runtime.source import KafkaSource, Source


class Nothing:
    """A client that has no partitions."""

    async def getmany(self, *_: object, **__: object) -> dict[object, object]:
        """Return nothing at once, as aiokafka does without an assignment."""
        return {}

    def assignment(self) -> set[object]:
        """Return no partition."""
        return set()


async def test_a_client_that_never_joins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would return nothing for ever; a fresh one joins."""
    client: Any = Nothing()
    source = KafkaSource(client)
    assert await source.fetch([]) == {}
    monkeypatch.setattr(source_module, "REJOIN_S", -1)
    with pytest.raises(KafkaError, match="not joined"):
        await source.fetch([])


class Broken(Nothing):
    """A client with a partition, of which it cannot tell the end."""

    def assignment(self) -> set[object]:
        """Return one partition."""
        return {"p"}

    async def end_offsets(self, _: object) -> dict[object, int]:
        """Fail as nobody thought of."""
        raise ZeroDivisionError("bug")


async def test_a_bug_in_the_background_ends_the_process() -> None:
    """Its lag would stand still, and nobody would know."""
    client: Any = Broken()
    source = KafkaSource(client)
    async with source.in_background():
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await source.fetch([])


class Committing(Nothing):
    """A client that can commit."""

    def __init__(self) -> None:
        self.committed: list[object] = []

    async def commit(self, offsets: dict[object, int]) -> None:
        """Take them, as aiokafka does: not if there are none."""
        if not offsets:
            raise ValueError(offsets)
        self.committed.append(offsets)


async def test_commits_go_on_after_a_rebalance_that_left_nothing_to_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the client would be given up 20 s later, and join anew."""
    monkeypatch.setattr(source_module, "COMMIT_PAUSE_S", 0)
    client: Any = Committing()
    source = KafkaSource(client)
    async with source.in_background():
        source.commit(Partition("t", 0), 5)
        source.forget()
        for _ in range(3):
            await asyncio.sleep(0)
        source.commit(Partition("t", 0), 7)
        async with asyncio.timeout(5):
            while not client.committed:  # noqa: ASYNC110 - a list tells no one
                await asyncio.sleep(0)
        await source.fetch([])
    assert client.committed == [{TopicPartition("t", 0): 7}]


async def test_a_member_without_partitions_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more members than partitions: it waits for one to end."""
    monkeypatch.setattr(source_module, "REJOIN_S", -1)
    client: Any = Nothing()
    source = KafkaSource(client)
    source.is_member = True
    for _ in range(3):
        assert await source.fetch([]) == {}


class Member(Nothing):
    """A client that has joined a group."""

    class Coordinator:
        """It has an id there."""

        member_id = "member-1"

    _coordinator = Coordinator()


class Failing:
    """Assignments that fail, as nobody thought of."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def given(self, _: Source, __: Sequence[Partition]) -> None:
        """Fail."""
        raise self.error

    async def taken(self) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), KafkaError("bug"), OSError("bug")])
@pytest.mark.parametrize("when", ["assigned", "revoked"])
async def test_an_exception_in_the_listener_ends_the_process(when: str, error: Exception) -> None:
    """Aiokafka would log it and go on; it is never taken for an outage of Kafka."""
    client: Any = Member()
    source = KafkaSource(client)
    listener = _Listener(client, source, Failing(error), set())
    if when == "assigned":
        await listener.on_partitions_assigned([])
    else:
        await listener.on_partitions_revoked([])
    with pytest.raises(RuntimeError, match="rebalance listener failed") as raised:
        await source.fetch([])
    assert not isinstance(raised.value, KafkaError | OSError)
    assert raised.value.__cause__ is error


class Ended(Nothing):
    """A client that fetches no longer."""

    class Fetcher:
        """Its task has failed."""

        def __init__(self) -> None:
            async def fail() -> None:
                raise RuntimeError("the handler is closed")

            self._fetch_task = asyncio.create_task(fail())

    def __init__(self) -> None:
        self._fetcher = self.Fetcher()


async def test_a_client_one_of_whose_tasks_has_ended_is_given_up() -> None:
    """It would return nothing for ever."""
    client: Any = Ended()
    source = KafkaSource(client)
    assert await source.fetch([]) == {}
    await asyncio.sleep(0)
    with pytest.raises(KafkaError, match="the task of the client that fetches has ended"):
        await source.fetch([])
