"""The dead letters that a command acts on: a preview, a confirmation, then one batch at a time."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from ops.confirmation import agreed
from ops.dead_letters.actions import LETTERS_PER_ACTION_MAX
from ops.dead_letters.filters import LetterFilter
from ops.dead_letters.letter import DeadLetter
from ops.dead_letters.output import line
from ops.dead_letters.reader import dead_letters, read_actions
from ops.terminal import say
from schemas.dead_letter_actions import ActionResult, Actions
from schemas.kafka_access import KafkaAccess

EXAMPLES_MAX = 5
BATCH_BYTES_MAX = 4 << 20

Selects = Callable[[DeadLetter], bool]


@dataclass(slots=True)
class Selection:
    """
    The dead letters that were selected when the command began, and the first few of them.

    `actions` are all actions up to then, and `is_selected` decides by them. `ends` are the offsets
    after the last dead letters: later ones are not part of it.
    """

    actions: Actions
    is_selected: Selects
    count: int = 0
    examples: list[DeadLetter] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)


def selects(wanted: LetterFilter, actions: Actions, *, again: bool = False) -> Selects:
    """Return a function that selects the open dead letters, with `again` also those sent again."""

    def is_selected(letter: DeadLetter) -> bool:
        is_open = actions.is_open(letter.id)
        is_open |= again and not actions.has(ActionResult.DROPPED, letter.id)
        return is_open and wanted.selects(letter)

    return is_selected


async def select(kafka: KafkaAccess, wanted: LetterFilter, *, again: bool = False) -> Selection:
    """Read the actions, and count the open dead letters, with `again` also those sent again."""
    actions = await read_actions(kafka)
    selection = Selection(actions, selects(wanted, actions, again=again))
    async with aclosing(dead_letters(kafka, ends=selection.ends)) as read:
        async for letters in read:
            found = list(filter(selection.is_selected, letters))
            selection.count += len(found)
            selection.examples += found[: EXAMPLES_MAX - len(selection.examples)]
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
        say("no open dead letter is selected; nothing was done")
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
