"""The entries of one `ce_id`, as the checks of a report read them. Does no I/O of its own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from ops.audit.entries import Entry

_Item = TypeVar("_Item")

# An entry, and the callback of the same id that has its origin and sequence.
Pair: TypeAlias = tuple[Entry, Entry | None]


@dataclass(frozen=True, slots=True)
class Reread(Generic[_Item]):
    """Reads its items again, with `read`, each time that it is iterated over."""

    read: Callable[[], Iterator[_Item]]

    def __iter__(self) -> Iterator[_Item]:
        """Read the items from the first one on."""
        return self.read()


@dataclass(frozen=True, slots=True)
class Group:
    """
    The entries of one `ce_id`. There may be more than the memory can hold, so keep none of them.

    `callbacks` has each sequence once. The others have only entries that are not equal to one of
    them. All can be iterated over several times.
    """

    ce_id: str
    callbacks: Iterable[Entry]
    copies: Iterable[Pair]
    receipts: Iterable[Pair]
    deliveries: Iterable[Pair]

    def common_digests(self, pairs: Iterable[Pair]) -> set[int]:
        """Return the digests of bodies that both the entries of `pairs` and callbacks have."""
        digests = {entry.body_digest for entry, _ in pairs}
        if not digests:
            return digests
        return {each.body_digest for each in self.callbacks if each.body_digest in digests}
