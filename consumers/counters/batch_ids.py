"""The ids in a batch, by the slot of time in which Valkey remembers them."""

from collections import defaultdict
from typing import TypeAlias

from consumers.counters.countable_callback import CountableCallback
from consumers.counters.hashes import Hashes

# What a slot costs besides its ids, as a number of values: see COST_MAX in batch_sums.py.
_SLOT_COST = 10
# By app and slot: the hash of each id, and the number of its callback in the batch.
BySlot: TypeAlias = defaultdict[tuple[str, int | str], dict[str, int]]
# App, id, and the slots in which the id is searched. If one callback is a repeat, so is every later
# one that has the same three. With other slots, a callback with the same id may be new.
SearchedId: TypeAlias = tuple[str, bytes, tuple[int | str, ...]]


def searched_id(callback: CountableCallback) -> SearchedId:
    """Return the id of a callback with all that decides whether it is a repeat."""
    return callback.app, callback.id, callback.slots


class BatchIds:
    """
    The hashes of the ids that the script looks up.

    The script remembers those of `to_remember`; those of `to_search` it only looks up. `cost` is
    the cost of all of them.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self.to_remember: BySlot = defaultdict(dict)
        self.to_search: BySlot = defaultdict(dict)
        self.cost = 0

    def add(self, number: int, callback: CountableCallback) -> bool:
        """Add the id of callback `number`; return False if an earlier callback added the same."""
        app, (slot, *others) = callback.app, callback.slots
        identity = self._hashes.of(callback.id)
        ids = self.to_remember.get((app, slot))
        if ids is None:
            ids = self.to_remember[app, slot]
            self.cost += _SLOT_COST
        if identity in ids:
            return False
        if others:
            if any(identity in self.to_remember.get((app, other), ()) for other in others):
                return False
            for other in others:
                self.to_search[app, other][identity] = number
            self.cost += len(others) * _SLOT_COST
        ids[identity] = number
        self.cost += 1
        return True
