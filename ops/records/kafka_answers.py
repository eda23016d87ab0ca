"""Turn errors of Kafka into failures of a command."""

import contextlib
from collections.abc import Iterator

from aiokafka.errors import KafkaError

from ops.failure import Failure
from schemas.kafka_access import KafkaAccess
from schemas.kafka_outage import outage_text
from schemas.missing_topics import TopicMissing


class KafkaUnreadable(Failure):
    """Kafka does not answer, or does not have the topic; the text says what to do."""


@contextlib.contextmanager
def kafka_answers(kafka: KafkaAccess, remedy: str) -> Iterator[None]:
    """
    Turn errors of Kafka into failures of the command; `remedy` says what to do.

    Raises:
        KafkaUnreadable: Kafka does not answer, or lacks a topic.
    """
    try:
        yield
    except TopicMissing as missing:
        raise KafkaUnreadable(str(missing)) from missing
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnreadable(f"{outage_text(kafka, error)}; {remedy}") from error
