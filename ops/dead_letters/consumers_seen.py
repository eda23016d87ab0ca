"""Collect the consumers of the dead letters, and report a consumer without any."""

from collections.abc import Iterable

from ops.dead_letters.letter import DeadLetter

# Other programs may write names without end.
NAMES_MAX = 100
NAMES_SHOWN_MAX = 10


class ConsumersSeen:
    """Collects the names of consumers; `wanted` is the one that a command is about, if any."""

    def __init__(self, wanted: str | None) -> None:
        self._wanted = wanted
        self._names: set[str] = set()

    def add(self, letters: Iterable[DeadLetter]) -> None:
        """Add the consumers of dead letters."""
        for letter in letters:
            if len(self._names) < NAMES_MAX or letter.consumer == self._wanted:
                self._names.add(letter.consumer)

    @property
    def lack_wanted(self) -> bool:
        """Whether no dead letter is of the consumer that the command is about."""
        return bool(self._wanted) and self._wanted not in self._names

    def __str__(self) -> str:
        """Return that no dead letter is of that consumer, and of which consumers there are some."""
        names = sorted(self._names)
        listed = ", ".join(names[:NAMES_SHOWN_MAX]) + (", …" if names[NAMES_SHOWN_MAX:] else "")
        others = f"the topic has those of: {listed}" if names else "the topic has none at all"
        return f"no dead letter is of the consumer {self._wanted!r}; {others}"
