"""The dead letters that a command acts on: a preview, a confirmation, then one batch at a time."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from ops.confirmation import agreed
from ops.dead_letters.actions import LETTERS_PER_ACTION_MAX
from ops.dead_letters.consumers_seen import ConsumersSeen
from ops.dead_letters.filters import LetterFilter
from ops.dead_letters.letter import DeadLetter
from ops.dead_letters.output import line
from ops.dead_letters.reader import dead_letters, read_actions
from ops.dead_letters.targets import is_own_consumer
from ops.failure import Failure
from ops.terminal import say
from schemas.dead_letter_actions import ActionResult, Actions
from schemas.kafka_access import KafkaAccess

EXAMPLES_MAX = 5
BATCH_BYTES_MAX = 4 << 20

Selects = Callable[[DeadLetter], bool]


class NoSuchConsumer(Failure):
    """No dead letter is of the consumer that a command names; the text has the names of others."""


@dataclass(slots=True)
class Selection:
    """
    The dead letters that were selected when the command began, and the first few of them.

    `actions` are all actions up to then, and `is_selected` decides by them. `ends` are the offsets
    after the last dead letters: later ones are not part of it. `consumers` are those of all dead
    letters, also of those that were not selected.
    """

    actions: Actions
    is_selected: Selects
    count: int = 0
    examples: list[DeadLetter] = field(default_factory=list)
    consumers: ConsumersSeen = field(default_factory=lambda: ConsumersSeen(None))
    ends: dict[int, int] = field(default_factory=dict)


def selects(wanted: LetterFilter, actions: Actions, *, again: bool = False) -> Selects:
    """Return a function that selects the open dead letters, with `again` also those sent again."""

    def is_selected(letter: DeadLetter) -> bool:
        is_open = actions.is_open(letter.id)
        is_open |= again and not actions.has(ActionResult.DROPPED, letter.id)
        return is_open and wanted.selects(letter)

    return is_selected


async def select(kafka: KafkaAccess, wanted: LetterFilter, *, again: bool = False) -> Selection:
    """
    Read the actions, and count the open dead letters, with `again` also those sent again.

    Raises:
        NoSuchConsumer: no dead letter is of the consumer, and it is not one of Hookline's.
    """
    actions = await read_actions(kafka)
    seen = ConsumersSeen(wanted.consumer)
    selection = Selection(actions, selects(wanted, actions, again=again), consumers=seen)
    async with aclosing(dead_letters(kafka, ends=selection.ends)) as read:
        async for letters in read:
            found = list(filter(selection.is_selected, letters))
            selection.count += len(found)
            selection.examples += found[: EXAMPLES_MAX - len(selection.examples)]
            seen.add(letters)
    if seen.lack_wanted and not is_own_consumer(wanted.consumer or ""):
        raise NoSuchConsumer(f"{seen}; nothing was done")
    return selection


def confirmed(selection: Selection, act: str, *, yes: bool) -> bool:
    """
    Print the preview; return whether to go on: with `yes`, or if a person on a terminal says so.

    `act` is what would be done, such as "send 3 dead letters to sync".
    """
    for letter in selection.examples:
        say(line(letter))
    if selection.count > len(selection.examples):
        say(f"… and {selection.count - len(selection.examples)} more")
    if not selection.count:
        lacking = selection.consumers.lack_wanted
        reason = str(selection.consumers) if lacking else "no open dead letter is selected"
        say(f"{reason}; nothing was done")
        return False
    return agreed(act, yes=yes)


async def batches(kafka: KafkaAccess, selection: Selection) -> AsyncGenerator[list[DeadLetter]]:
    """Yield the selected dead letters again, in batches of bounded number and size."""
    batch: list[DeadLetter] = []
    batch_bytes = 0
    async with aclosing(dead_letters(kafka, ends=selection.ends)) as read:
        async for letters in read:
            for letter in filter(selection.is_selected, letters):
                batch.append(letter)
                batch_bytes += len(letter.value)
                if len(batch) >= LETTERS_PER_ACTION_MAX or batch_bytes >= BATCH_BYTES_MAX:
                    yield batch
                    batch, batch_bytes = [], 0
            # A batch is not kept until the end: the dead letters may be far apart.
            if batch:
                yield batch
                batch, batch_bytes = [], 0
