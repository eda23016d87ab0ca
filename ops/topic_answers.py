"""What Kafka answers to a change of topics: done, or refused for a reason."""

from collections.abc import Iterator
from typing import Any

from aiokafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError, for_code

from ops.failure import Failure
from schemas.kafka_denials import check_denial


class ClusterRefused(Failure):
    """The cluster refused a change, or is not reachable; the text names the reason."""


class ClusterNotReady(ClusterRefused):
    """The cluster may accept the change soon: it is not reachable, or brokers are still joining."""


def check_answer(response: Any) -> None:
    """
    Return if Kafka has done what an admin client has asked for.

    Raises:
        ClusterRefused: Kafka refused it; the text has the reason.
        KafkaError: Kafka does not authorize it.
    """
    for code, subject, message in _errors(response):
        if code:
            check_denial(code, subject)
            error = for_code(code)
            kind = (
                ClusterNotReady
                if error.retriable or error is InvalidReplicationFactorError
                else ClusterRefused
            )
            raise kind(f"Kafka refused: {error.__name__}: {message}")


def already_there(response: Any) -> bool:
    """Return whether the topic to create exists."""
    return [code for code, *_ in _errors(response)] == [TopicAlreadyExistsError.errno]


def _errors(response: Any) -> Iterator[tuple[int, str, str]]:
    answer = response.to_object()
    for result in (*answer.get("topic_errors", ()), *answer.get("resources", ())):
        subject = result.get("topic") or result.get("resource_name")
        yield result["error_code"], subject, result.get("error_message") or subject
