"""
Add up a batch's callbacks, so that Valkey does one command for a sum and not for each callback.

Read `BatchSums.add` from top to bottom to follow one callback: the windows of its time
(batch_windows.py), its id (batch_ids.py), its sums, people and conversation. The result becomes the
input of apply.lua (script_input.py).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from consumers.counters import layout
from consumers.counters.already_counted import AlreadyCounted
from consumers.counters.batch_ids import BatchIds
from consumers.counters.batch_windows import BatchWindows
from consumers.counters.bounds import Bounds
from consumers.counters.counted_callback import CountedCallback
from consumers.counters.hashes import Hashes
from consumers.counters.script_input import script_input
from consumers.counters.zones import Zones

# The bound of one call of the script, in values: some 1 to 2 µs each of the one thread of Valkey,
# which answers no other client meanwhile. The rest of the batch goes into further calls, each of
# which moves the position.
VALUES_MAX = 10_000


class BatchSums:
    """The sum of some callbacks of one partition, without the people that `known` has already."""

    def __init__(
        self, generation: int, bounds: Bounds, zones: Zones, hashes: Hashes, known: AlreadyCounted
    ) -> None:
        self._generation = generation
        self._bounds = bounds
        self._hashes = hashes
        self._known = known
        self._forgotten_before = known.forgotten
        # By origin: the number of its callbacks, and the sum of their sequences.
        self._origins: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._ids = BatchIds(hashes)
        self._windows = BatchWindows(bounds.remember_s, zones, known)

    def add(self, counted: Sequence[CountedCallback], first: int, repeats: Collection[int]) -> int:
        """
        Add callbacks from number `first` on, as many as one call may have; return the next number.

        `repeats` are the numbers of those that are known to be repeats.
        """
        windows, ids = self._windows, self._ids
        minutes = windows.minutes
        hash_of = self._hashes.of_account
        origins = self._origins
        number = first - 1
        for number, callback in enumerate(islice(counted, first, None), start=first):
            app, at_minute, additions = (
                callback.app,
                callback.at_s // layout.MINUTE_S,
                callback.added,
            )
            minute = minutes.get((app, at_minute)) or windows.add_minute(app, at_minute)
            # An origin's callbacks are applied, repeats or not: the audit compares these numbers.
            of_origin = origins[callback.origin]
            of_origin[0] += 1
            of_origin[1] += callback.sequence
            if callback.slots and (number in repeats or not ids.add(number, callback)):
                windows.apps[app].repeats += 1
                continue
            sums = additions.sums
            minute.counts[sums] = minute.counts.get(sums, 0) + 1
            people = minute.people
            for role, account in additions.people:
                person = hash_of(account)
                # `WindowPeople.add`, without a call for the many who are in the minute already.
                if person not in people.known[role] and person not in people.new[role]:
                    windows.add_person(minute, role, person, callback.received_s)
            conversation = additions.conversation
            if conversation and conversation not in minute.known_conversations:
                windows.add_conversation(minute, conversation)
            if windows.values + ids.values >= VALUES_MAX:
                break
        return number + 1

    def script_input(self) -> Mapping[str, Any]:
        """Return the input of apply.lua."""
        origins = [
            (origin, number, sequence_sum % layout.SUM_MODULUS)
            for origin, (number, sequence_sum) in self._origins.items()
        ]
        return script_input(
            self._generation, self._bounds, self._hashes, origins, self._ids, self._windows
        )

    def learn(self) -> None:
        """Add the people and conversations to `known`; call this after the script applied them."""
        # Valkey may have lost what it applied before `known` was forgotten.
        if self._forgotten_before != self._known.forgotten:
            return
        for people in self._windows.people():
            if people.new:
                self._known.add_people(people.window, people.new)
        for app, of_app in self._windows.apps.items():
            self._known.add_conversations(app, of_app.conversations)
