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
from consumers.counters.batch_ids import BatchIds, SearchedId, searched_id
from consumers.counters.batch_windows import BatchWindows
from consumers.counters.bounds import Bounds
from consumers.counters.countable_callback import CountableCallback
from consumers.counters.hashes import Hashes
from consumers.counters.script_input import script_input
from consumers.counters.zones import Zones

# The bound of one call of the script, in values: some 1 to 2 µs each of the one thread of Valkey,
# which answers no other client meanwhile. The rest of the batch goes into further calls, each of
# which moves the position.
COST_MAX = 10_000


class BatchSums:
    """The sum of some callbacks of one partition, without people who are in `already_counted`."""

    def __init__(
        self,
        generation: int,
        bounds: Bounds,
        zones: Zones,
        hashes: Hashes,
        already_counted: AlreadyCounted,
    ) -> None:
        self._generation = generation
        self._bounds = bounds
        self._hashes = hashes
        self._already_counted = already_counted
        self._forget_count_before = already_counted.forget_count
        # By origin: the number of its callbacks, and the sum of their sequences.
        self._origins: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._ids = BatchIds(hashes)
        self._windows = BatchWindows(bounds.remember_s, zones, already_counted)

    def add(
        self,
        callbacks: Sequence[CountableCallback],
        first_index: int,
        end_index: int,
        repeats: Collection[SearchedId],
    ) -> int:
        """
        Add callbacks from `first_index` on, as many as one call may have, none from `end_index` on.

        Return the next index. `repeats` are the ids that Valkey is known to remember: a callback
        with one of them is a repeat.

        It is one long function because it runs for each callback, and each call would take time.
        """
        windows, ids = self._windows, self._ids
        minutes = windows.minutes
        hash_of = self._hashes.of_account
        origins = self._origins
        index = first_index - 1
        part = islice(callbacks, first_index, end_index)
        for index, callback in enumerate(part, start=first_index):
            app, minute_number, additions = (
                callback.app,
                callback.at_s // layout.MINUTE_S,
                callback.added,
            )
            minute = minutes.get((app, minute_number)) or windows.add_minute(app, minute_number)
            # An origin's callbacks are applied, repeats or not: the audit compares these numbers.
            count_and_sum = origins[callback.origin]
            count_and_sum[0] += 1
            count_and_sum[1] += callback.sequence
            if callback.slots and (
                (repeats and searched_id(callback) in repeats) or not ids.add(index, callback)
            ):
                windows.apps[app].repeats += 1
                continue
            sums = additions.sums
            minute.counts[sums] = minute.counts.get(sums, 0) + 1
            people = minute.people
            for role, account in additions.members:
                person = hash_of(account)
                # `WindowPeople.add`, without a call for the many who are in the minute already.
                if person not in people.known[role] and person not in people.new[role]:
                    windows.add_person(minute, role, person, callback.received_s)
            conversation = additions.conversation
            if conversation and conversation not in minute.known_conversations:
                windows.add_conversation(minute, conversation)
            if windows.cost + ids.cost >= COST_MAX:
                break
        return index + 1

    def script_input(self) -> Mapping[str, Any]:
        """Return the input of apply.lua."""
        origins = [
            (origin, number, sequence_sum % layout.SUM_MODULUS)
            for origin, (number, sequence_sum) in self._origins.items()
        ]
        return script_input(
            self._generation, self._bounds, self._hashes, origins, self._ids, self._windows
        )

    def note_counted(self) -> None:
        """Note the people and conversations as counted; call this after the script applied them."""
        # Valkey may have lost what it applied before `already_counted` was forgotten.
        if self._forget_count_before != self._already_counted.forget_count:
            return
        for people in self._windows.people():
            if people.new:
                self._already_counted.add_people(people.window, people.new)
        for app, app_additions in self._windows.apps.items():
            self._already_counted.add_conversations(app, app_additions.conversations)
