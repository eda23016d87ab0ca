"""A text names the resource that Kafka does not authorize, if the error has its name."""

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from schemas.kafka_denials import denial_of


@pytest.mark.parametrize(
    ("error", "resource"),
    [
        (TopicAuthorizationFailedError("tim.callbacks.v1"), 'topic "tim.callbacks.v1"'),
        (TopicAuthorizationFailedError({"b", "a"}), 'topic "a", "b"'),
        (TopicAuthorizationFailedError("Authorization failed."), "topic"),
        (TopicAuthorizationFailedError(None), "topic"),
        (TopicAuthorizationFailedError(object()), "topic"),
        (GroupAuthorizationFailedError("Unable to get coordinator id for g"), 'group "g"'),
        (ClusterAuthorizationFailedError(), "cluster"),
    ],
)
async def test_only_names_of_resources_are_quoted(error: KafkaError, resource: str) -> None:
    """The argument of an error may be anything; a text of the broker is not a topic."""
    text = str(denial_of(error, AIOKafkaClient()))
    expected = f'Kafka does not authorize "User:ANONYMOUS" for the {resource}; give it'
    assert text.startswith(expected)


async def test_another_error_is_not_a_denial() -> None:
    """Also one that has a cause."""
    assert denial_of(KafkaError("topic"), AIOKafkaClient()) is None
