"""
The topic of actions: each has a time, an operator, some dead letters, and the result for them.

A dead letter is known by its topic's id, its partition and its offset, so an action closes no dead
letter that came later, even if it is one of the same callback. But a callback that was dropped once
is dropped for the audit, and one that was sent again to the main topic is not sent there twice.
"""

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec
from pyroaring import BitMap64

from schemas.body import INTEGER_DIGITS_MAX

# Of offsets and of sequences.
_NUMBER_MAX = 10**INTEGER_DIGITS_MAX - 1


class RecordId(NamedTuple):
    """The partition and the offset of a record in its topic, written as PARTITION/OFFSET."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """Return the id as commands print and read it."""
        return f"{self.partition}/{self.offset}"


class ActionResult(StrEnum):
    """
    The result of an action.

    RESENT: it is in the sink, in the topic of callbacks, or in the retry topic of its webhook.
    REJECTED: the sink has rejected it again, so it stays open. DROPPED: a person has decided that
    it is not sent.
    """

    RESENT = "resent"
    REJECTED = "rejected again"
    DROPPED = "dropped"


class Letter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A dead letter, and the place of its callback; "" and 0 if no ingress wrote it."""

    partition: int
    offset: int
    origin: str
    sequence: int


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the topic, as JSON; docs/contract.md explains it."""

    at_ms: int
    by: str
    consumer: str
    result: ActionResult
    reason: str
    topic_id: str
    letters: list[Letter]


def encoded(taken: Action) -> bytes:
    """Return the value of an action's record."""
    return msgspec.json.encode(taken)


def decoded(value: bytes | None) -> Action | None:
    """Return the action in a record, None if it is not one of this release."""
    try:
        return msgspec.json.decode(value or b"", type=Action)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class Actions:
    """
    All actions on the dead letters of one topic, as compressed bitmaps.

    `topic_id` is the id of the dead-letter topic; actions on another one are ignored.
    """

    def __init__(self, topic_id: str) -> None:
        self.topic_id = topic_id
        # By result and partition, the offsets of dead letters.
        self._offsets: defaultdict[tuple[ActionResult, int], BitMap64] = defaultdict(BitMap64)
        # By consumer and origin, the sequences that were sent again.
        self._resent: defaultdict[tuple[str, str], BitMap64] = defaultdict(BitMap64)

    def add(self, taken: Action) -> None:
        """Add an action."""
        if taken.topic_id != self.topic_id:
            return
        for each in taken.letters:
            if not (0 <= each.offset <= _NUMBER_MAX and 0 <= each.sequence <= _NUMBER_MAX):
                continue
            self._offsets[taken.result, each.partition].add(each.offset)
            if taken.result is ActionResult.RESENT:
                self._resent[taken.consumer, each.origin].add(each.sequence)

    def add_all(self, taken: Iterable[Action]) -> None:
        """Add actions."""
        for each in taken:
            self.add(each)

    def has(self, result: ActionResult, letter_id: RecordId) -> bool:
        """Return whether an action had this result for a dead letter."""
        return letter_id.offset in self._offsets[result, letter_id.partition]

    def is_open(self, letter_id: RecordId) -> bool:
        """Return whether a dead letter was neither sent again nor dropped."""
        return not self.has(ActionResult.RESENT, letter_id) and not self.has(
            ActionResult.DROPPED, letter_id
        )

    def was_resent(self, consumer: str, origin: str, sequence: int) -> bool:
        """Return whether a callback was sent again, by any dead letter of it."""
        return sequence in self._resent[consumer, origin]
