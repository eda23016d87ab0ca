"""When a member of a group is lost, and when it only has nothing to do."""

from typing import Any

import pytest
from aiokafka.errors import KafkaError

from consumers.runtime import source as source_module
from consumers.runtime.source import KafkaSource


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


async def test_a_member_without_partitions_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more members than partitions: it waits for one to end."""
    monkeypatch.setattr(source_module, "REJOIN_S", -1)
    client: Any = Nothing()
    source = KafkaSource(client)
    source.is_member = True
    for _ in range(3):
        assert await source.fetch([]) == {}
