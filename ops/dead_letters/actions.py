"""
The topic of actions: each has a time, an operator, some dead letters, and the result for them.

A dead letter is known by its topic's id, its partition and its offset, so an action never applies
to a dead letter that came later, even if it is one of the same callback.
"""

import getpass
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec
from pyroaring import BitMap64

from ops.dead_letters.letter import DeadLetter, RecordId
from schemas.body import INTEGER_DIGITS_MAX
from schemas.clock import now_ms

# Bounds of a record in the topic of actions.
LETTERS_PER_ACTION_MAX = 500
REASON_CHARACTERS_MAX = 1000
_SEQUENCE_MAX = 10**INTEGER_DIGITS_MAX


class ActionResult(StrEnum):
    """
    The result of an action.

    RESENT: it is in the sink, or in the topic of callbacks. REJECTED: the sink has rejected it
    again, so it stays open. DROPPED: a person has decided that it is not sent.
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


def action(
    letters: Sequence[DeadLetter], result: ActionResult, *, by: str, topic_id: str, reason: str = ""
) -> Action:
    """Return the action that had `result` for `letters`, which are of one consumer."""
    return Action(
        at_ms=now_ms(),
        by=by,
        consumer=letters[0].consumer,
        result=result,
        reason=reason[:REASON_CHARACTERS_MAX],
        topic_id=topic_id,
        letters=[Letter(*each.id, each.origin, each.sequence) for each in letters],
    )


def encoded(taken: Action) -> bytes:
    """Return the value of an action's record."""
    return msgspec.json.encode(taken)


def decoded(value: bytes | None) -> Action | None:
    """Return the action in a record, None if it is not one of this release."""
    try:
        return msgspec.json.decode(value or b"", type=Action)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def default_operator() -> str:
    """Return user and host of this process, for the actions that it takes."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may run under a user id without a name
        user = "?"
    return f"{user}@{socket.gethostname()}"


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
            if not (0 <= each.offset < _SEQUENCE_MAX and 0 <= each.sequence < _SEQUENCE_MAX):
                continue
            self._offsets[taken.result, each.partition].add(each.offset)
            if taken.result is ActionResult.RESENT:
                self._resent[taken.consumer, each.origin].add(each.sequence)

    def add_all(self, taken: Iterable[Action]) -> None:
        """Add actions."""
        for each in taken:
            self.add(each)

    def has(self, result: ActionResult, letter: RecordId) -> bool:
        """Return whether an action had this result for a dead letter."""
        return letter.offset in self._offsets[result, letter.partition]

    def is_open(self, letter: RecordId) -> bool:
        """Return whether a dead letter was neither sent again nor dropped."""
        return not self.has(ActionResult.RESENT, letter) and not self.has(
            ActionResult.DROPPED, letter
        )

    def was_resent(self, letter: DeadLetter) -> bool:
        """Return whether the callback of a dead letter was sent again, by any dead letter of it."""
        return letter.sequence in self._resent[letter.consumer, letter.origin]
