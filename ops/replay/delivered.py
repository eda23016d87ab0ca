"""Decide which callbacks the target of a webhook got or refused. Does no I/O."""

from consumers.runtime.batch import Record
from ops.audit.webhook_state import TargetState
from ops.replay.source import Part
from ops.replay.target import RecordState
from schemas.callback_record import place


def state_of(state: TargetState, part: Part, record: Record, kafka_id: str | None) -> RecordState:
    """
    Return the state of a record, for a target that wants all of them.

    DONE: the target got it or refused it. PENDING: the webhook will deliver it. UNWANTED: the
    record is from before the webhook began.

    `kafka_id` is the id of the topic that Kafka has now. The records of an earlier topic have been
    passed, except those that still wait in the retry topic.
    """
    number = part.partition.number
    position, begun = state.positions.get(number), state.begun.get(number)
    if position is None or _is_parked(state, number, record):
        return RecordState.PENDING
    is_reading = position.may_continue_in(part.topic_id)
    if record.offset >= position.next_offset if is_reading else part.topic_id == kafka_id:
        return RecordState.PENDING
    if begun and begun.may_continue_in(part.topic_id):
        is_earlier = record.offset < begun.next_offset
    else:
        # If the webhook still reads the topic in which it began, an earlier topic was not for it.
        is_earlier = not is_reading and begun is not None and begun.topic_id == position.topic_id
    return RecordState.UNWANTED if is_earlier else RecordState.DONE


def _is_parked(state: TargetState, number: int, record: Record) -> bool:
    """Return whether the record waits; one of another topic may have the same offset."""
    waiting = state.parked.get(number, {}).get(record.offset)
    return waiting is not None and waiting == place(record.headers)
