"""Make the action of a command on dead letters; schemas/dead_letter_actions.py has the format."""

import getpass
import socket
from collections.abc import Sequence

from ops.dead_letters.letter import DeadLetter
from schemas.clock import now_ms
from schemas.dead_letter_actions import Action, ActionResult, Letter

# Bounds of a record in the topic of actions.
LETTERS_PER_ACTION_MAX = 500
REASON_CHARACTERS_MAX = 1000


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


def default_operator() -> str:
    """Return user and host of this process, for the actions that it takes."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may run under a user id without a name
        user = "?"
    return f"{user}@{socket.gethostname()}"
