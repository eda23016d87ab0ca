"""Count dead letters by consumer, reason and command, in bounded memory."""

from collections.abc import Iterable
from dataclasses import dataclass

from ops.dead_letters.letter import DeadLetter
from schemas.dead_letter_actions import ActionResult, Actions

# The number of groups; all further dead letters of a consumer are one more group, and so are those
# of all further consumers.
GROUPS_MAX = 1000
OTHERS = "(other reasons and commands)"


@dataclass(slots=True, kw_only=True)
class LetterGroup:
    """
    The dead letters of one consumer, reason and command.

    `open` were neither sent again nor dropped. `rejected_again` are those of them that a resend has
    tried, and that were rejected again. `example` is one of them, an open one if possible.
    """

    consumer: str
    reason: str
    command: str
    example: DeadLetter
    first_ms: int
    last_ms: int
    open: int = 0
    rejected_again: int = 0
    resent: int = 0
    dropped: int = 0

    def add(self, letter: DeadLetter, actions: Actions) -> None:
        """Count a dead letter."""
        self.first_ms = min(self.first_ms, letter.at_ms)
        self.last_ms = max(self.last_ms, letter.at_ms)
        if actions.has(ActionResult.RESENT, letter.id):
            self.resent += 1
        elif actions.has(ActionResult.DROPPED, letter.id):
            self.dropped += 1
        else:
            self.example = self.example if self.open else letter
            self.open += 1
            self.rejected_again += actions.has(ActionResult.REJECTED, letter.id)


class Groups:
    """The groups of all dead letters that were added."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._groups: dict[tuple[str, str, str], LetterGroup] = {}

    def add(self, letters: Iterable[DeadLetter]) -> None:
        """Count dead letters."""
        for letter in letters:
            key = letter.consumer, letter.kind, letter.command
            if key not in self._groups and len(self._groups) >= GROUPS_MAX:
                # Other programs may write names of consumers without end.
                known = any(letter.consumer == consumer for consumer, _, _ in self._groups)
                key = letter.consumer if known else OTHERS, OTHERS, ""
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = LetterGroup(
                    consumer=key[0],
                    reason=key[1],
                    command=key[2],
                    example=letter,
                    first_ms=letter.at_ms,
                    last_ms=letter.at_ms,
                )
            group.add(letter, self._actions)

    def sorted(self) -> list[LetterGroup]:
        """Return the groups by consumer; of each, those with the most open dead letters first."""
        return sorted(
            self._groups.values(),
            key=lambda each: (each.consumer, -each.open, -each.resent, each.reason, each.command),
        )
