"""A topic is missing only if several answers lack it, each of which lists brokers."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataResponse_v1

from schemas import missing_topics
from schemas.kafka_names import KafkaName
from schemas.missing_topics import TopicMissing, unknown_topics_checked

TOPICS = [KafkaName("a.v1"), KafkaName("b.v1")]
NO_BROKER = None


class Answering:
    """A client whose next answers have these topics; without brokers it fails, as aiokafka's."""

    def __init__(self, *answers: list[str] | None) -> None:
        self._answers: Iterator[list[str] | None] = iter(answers)

    async def fetch_all_metadata(self) -> ClusterMetadata:
        """Return the next answer."""
        names = next(self._answers)
        if names is NO_BROKER:
            raise KafkaError("Unable to get cluster metadata over all known brokers")
        cluster = ClusterMetadata()
        topics = [(0, name, False, [(0, 0, 1, [1], [1])]) for name in names]
        cluster.update_metadata(MetadataResponse_v1([(1, "kafka", 9092, None)], 1, topics))
        return cluster


async def failure(*answers: list[str] | None) -> KafkaError:
    """Return what is raised if a topic is unknown to a client, and Kafka answers so then."""
    client: Any = Answering(*answers)
    with pytest.raises(KafkaError) as raised:
        async with unknown_topics_checked(client, TOPICS):
            raise UnknownTopicOrPartitionError
    return raised.value


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_topics, "ANSWER_INTERVAL_S", 0)


async def test_the_topic_that_no_answer_has_is_named() -> None:
    """With the command that creates it."""
    error = await failure(["a.v1"], ["a.v1"], ["a.v1"])
    assert isinstance(error, TopicMissing)
    assert str(error) == "topic b.v1 does not exist; create it with: hookline topics apply"


@pytest.mark.parametrize(
    "answers",
    [
        [["a.v1", "b.v1"]],
        [["a.v1"], ["a.v1", "b.v1"]],
        [[], ["a.v1"], ["b.v1"]],
        [["a.v1"], NO_BROKER],
        [NO_BROKER],
    ],
)
async def test_a_topic_that_an_answer_has_or_that_no_broker_can_know_is_not_missing(
    answers: list[list[str] | None],
) -> None:
    """A broker that has just started, or that shuts down, does not know all."""
    error = await failure(*answers)
    assert not isinstance(error, TopicMissing | UnknownTopicOrPartitionError)
