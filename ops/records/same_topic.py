"""Check, before a command writes to a sink, that the sink continues the topic that it reads."""

from collections.abc import Iterable

from consumers.runtime.batch import Position
from ops.failure import Failure
from schemas.kafka_names import KafkaName


class OtherTopic(Failure):
    """A sink has a position of another topic than the one that Kafka has under this name."""


def check_same_topic(
    positions: Iterable[Position], sink: str, topic: KafkaName, topic_id: str | None
) -> None:
    """
    Check that `positions`, those of a consumer in `sink`, may be of the topic with this id.

    Raises:
        OtherTopic: one of them is not, so the command has the sink of one pipeline, and the Kafka
            or the prefix of another one; or the topic was created again.
    """
    for position in positions:
        if not position.may_continue_in(topic_id):
            raise OtherTopic(
                f"{sink} continues the topic with the id {position.topic_id}, but {topic} has the"
                f" id {topic_id}; nothing was written. Are HOOKLINE_BOOTSTRAP_SERVERS,"
                " HOOKLINE_KAFKA_PREFIX and the sink's address those of one pipeline? If the topic"
                " was created again, see 'A consumer stops' in docs/runbook.md first"
            )
