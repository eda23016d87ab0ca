"""
Check that the topic in Kafka continues a sink's position; stop the consumer if not. No I/O.

The partitions are as the cluster names them.
"""

from collections.abc import Sequence

from consumers.runtime.batch import OffsetAndPlace, Position, Record
from consumers.runtime.handler import Stopped
from consumers.runtime.pending_batch import ORIGIN_CHARACTERS_MAX, offset_and_place

_NEW_SINK = (
    "Nothing was written. Is HOOKLINE_BOOTSTRAP_SERVERS, HOOKLINE_KAFKA_PREFIX or the sink's "
    "address wrong? Then correct it. To continue with the current topic, begin in a new sink, once "
    "with CONSUMER_REBUILD=true; see 'A consumer stops' in docs/runbook.md."
)


def check_not_emptied(name: str, partition: str, committed: int | None) -> None:
    """
    Check that a sink without a position never had one; `committed` is the group's offset.

    Raises:
        Stopped: the group has committed an offset, so the sink had a position.
    """
    if committed is not None:
        raise Stopped(
            f"The sink of {name} has nothing of {partition}, but the group has committed offset "
            f"{committed}: the sink was emptied, or it is another one. To build it again from the "
            "records that Kafka still has, start the process once with CONSUMER_REBUILD=true"
        )


def check_topic(name: str, partition: str, position: Position, topic_id: str | None) -> None:
    """
    Check that the position is of the topic that has this name now.

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
    name: str, partition: str, position: Position, *, log_start: int, end_offset: int
) -> None:
    """
    Check that the position is between the topic's first and last offset.

    Kafka was asked for `log_start` before the sink was asked for its position, and for `end_offset`
    after that.

    Raises:
        Stopped: the topic begins after the position, or ends before it.
    """
    expected = f"The sink of {name} expects {partition} at {position.next_offset}, but the topic"
    if position.next_offset < log_start:
        raise Stopped(
            f"{expected} begins at {log_start}: retention deleted records before they were in the "
            "sink. To continue without a word would hide the loss. To continue without them, "
            "delete the sink's position of this partition, not of others, and start once with "
            "CONSUMER_REBUILD=true; see 'A consumer stops' in docs/runbook.md."
        )
    if end_offset < position.next_offset:
        raise Stopped(
            f"{expected} ends at {end_offset}: it was restored from an older copy or created "
            f"again, or Kafka lost records. {_NEW_SINK}"
        )


def check_last_record(
    partition: str,
    last: OffsetAndPlace,
    records: Sequence[Record],
    *,
    next_offset: int,
    refetches_last: bool,
) -> None:
    """
    Check that the topic has the record that the sink had last, and no other before `next_offset`.

    `records` are those that Kafka returned from that record on. `refetches_last`: the first of them
    must be that record.

    Raises:
        Stopped: the topic has another record at the offset of the last record, or a record between
            that offset and `next_offset`, which the sink does not have.
    """
    offset, origin, sequence = last
    unknown = [record.offset for record in records if offset < record.offset < next_offset]
    expected = offset, origin[:ORIGIN_CHARACTERS_MAX], sequence
    in_topic = offset_and_place(records[0]) if records else None
    if unknown or (refetches_last and in_topic != expected):
        raise Stopped(
            f"The last record that the sink has of {partition} is sequence {sequence} of origin "
            f"{origin!r} at offset {offset}. The topic has another record there, or one between it "
            f"and offset {next_offset}: the topic was restored from an older copy or "
            f"created again, or it is another cluster's. {_NEW_SINK}"
        )
