"""Check that a sink's position continues in Kafka's present topic; else the consumer stops."""

from consumers.runtime.batch import Partition, Position
from consumers.runtime.handler import Stopped

_NEW_SINK = (
    "Nothing was written. Is HOOKLINE_BOOTSTRAP_SERVERS or the sink's address wrong? Then correct "
    "it. To continue with the present topic, begin in a new sink, once with CONSUMER_REBUILD=true; "
    "see 'A consumer stops' in docs/runbook.md."
)


def check_not_emptied(name: str, partition: Partition, committed: int | None) -> None:
    """
    Check that a sink without a position never had one.

    Raises:
        Stopped: the group has committed an offset, so the sink had a position.
    """
    if committed is not None:
        raise Stopped(
            f"The sink of {name} has nothing of {partition}, but the group has committed offset "
            f"{committed}: the sink was emptied, or it is another one. To build it again from what "
            "Kafka still has, start the process once with CONSUMER_REBUILD=true"
        )


def check_topic(name: str, partition: Partition, position: Position, topic_id: str | None) -> None:
    """
    Check that the position is of the topic that now has this name.

    Raises:
        Stopped: the position is of another topic.
    """
    if not position.may_continue_in(topic_id):
        raise Stopped(
            f"The position of the sink of {name} in {partition} is offset {position.next_offset} "
            f"of the topic with the id {position.topic_id}. The topic of this name now has the id "
            f"{topic_id}: it was deleted and created again, or it is another cluster's. {_NEW_SINK}"
        )


def check_offsets(
    name: str, partition: Partition, position: Position, *, beginning: int, ending: int
) -> None:
    """
    Check that the position is an offset of the topic.

    `beginning` was asked for before the position, `ending` after it.

    Raises:
        Stopped: the topic begins after the position, or ends before it.
    """
    expected = f"The sink of {name} expects {partition} at {position.next_offset}, but the topic"
    if position.next_offset < beginning:
        raise Stopped(
            f"{expected} begins at {beginning}: retention deleted records before they were in the "
            "sink. Going on in silence would hide a loss. To go on without them, begin in a new "
            "sink, once with CONSUMER_REBUILD=true; see 'A consumer stops' in docs/runbook.md."
        )
    if ending < position.next_offset:
        raise Stopped(
            f"{expected} ends at {ending}: it was restored from an older copy or created again, or "
            f"Kafka lost records. {_NEW_SINK}"
        )
