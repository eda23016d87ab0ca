"""Positions as texts, as Valkey keeps them."""

from consumers.runtime.batch import Position
from consumers.runtime.handler import Stopped

# Placeholder in a position for an unknown value.
UNKNOWN = "-"
# The spaces between the five parts of a position; the last part may have more.
_SPACES = 4


def position_text(position: Position) -> str:
    """Return next offset, topic id, then the last record's offset, sequence and origin."""
    last = position.last or (UNKNOWN, UNKNOWN, UNKNOWN)
    offset, origin, sequence = last
    # The origin comes last: it may contain spaces if no ingress wrote the record.
    return f"{position.next_offset} {position.topic_id or UNKNOWN} {offset} {sequence} {origin}"


def position_of(text: bytes) -> Position:
    """
    Return the position in a text.

    Raises:
        Stopped: another version wrote it.
    """
    if text.count(b" ") < _SPACES:
        raise Stopped(
            f"The position {text!r} in Valkey was written by another version, so its topic is not "
            "known. Empty Valkey and build the counts again: start the process once with "
            "CONSUMER_REBUILD=true"
        )
    next_offset, topic_id, offset, sequence, origin = text.decode().split(" ", 4)
    return Position(
        int(next_offset),
        None if offset == UNKNOWN else (int(offset), origin, int(sequence)),
        None if topic_id == UNKNOWN else topic_id,
    )
