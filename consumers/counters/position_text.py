"""Positions as texts, as Valkey keeps them."""

from consumers.runtime.batch import Partition, Position
from consumers.runtime.handler import Stopped

# Placeholder in a position for an unknown value.
UNKNOWN = "-"
# While apply.lua applies a batch, the position begins with this.
_TORN = b"torn"
# The spaces between the five parts of a position; the last part may have more.
_SPACES = 4

_COUNT_AGAIN = (
    "count again with: hookline counters rebuild --yes (if a rebuild stopped for this reason, add "
    "--start-over)"
)


def position_text(position: Position) -> str:
    """Return next offset, topic id, then the last record's offset, sequence and origin."""
    last = position.last or (UNKNOWN, UNKNOWN, UNKNOWN)
    offset, origin, sequence = last
    # The origin comes last: it may contain spaces if no ingress wrote the record.
    return f"{position.next_offset} {position.topic_id or UNKNOWN} {offset} {sequence} {origin}"


def position_of(text: bytes, partition: Partition) -> Position:
    """
    Return the position in the text that Valkey has for `partition`.

    Raises:
        Stopped: a call of the script ended half-way, or another version wrote the text.
    """
    if text.startswith(_TORN):
        raise Stopped(
            f"A call of the counting script ended half-way, so the counts of {partition} may be "
            "wrong. Another program writes to the keys hookline:*, or Valkey failed within a "
            f"script: see Valkey's log. Then {_COUNT_AGAIN}; or restore an older copy of Valkey"
        )
    if text.count(b" ") < _SPACES:
        raise Stopped(
            f"The position {text!r} of {partition} in Valkey was written by another version, so "
            f"its topic is not known: {_COUNT_AGAIN}"
        )
    next_offset, topic_id, offset, sequence, origin = text.decode().split(" ", 4)
    return Position(
        int(next_offset),
        None if offset == UNKNOWN else (int(offset), origin, int(sequence)),
        None if topic_id == UNKNOWN else topic_id,
    )
