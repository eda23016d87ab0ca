"""A partition's position and parked callbacks, as its part of the retry topic states them. No I/O.

A conversation is parked while a callback of it is. Its parked callbacks are delivered in the order
of their offsets in the main topic, whatever the order of the retry topic's records is.
"""

import heapq
from bisect import insort

from consumers.runtime.batch import Position
from consumers.runtime.pending_batch import record_sizes
from consumers.webhook.retry_record import (
    Change,
    FinishedCallback,
    ParkedCallback,
    PartitionClaim,
    TargetBegin,
    conversation,
)


class RetryState:
    """The state that the changes so far have led to."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self._parked: dict[int, ParkedCallback] = {}
        # The offsets of each conversation, lowest first.
        self._offsets: dict[bytes, list[int]] = {}
        self.parked_bytes = 0
        # When each parked conversation is due: those that fail again and again (True), the others;
        # and those that are being delivered.
        self._due: dict[bool, list[tuple[int, bytes]]] = {False: [], True: []}
        self._in_delivery: set[bytes] = set()

    @property
    def parked_records(self) -> int:
        """The number of parked callbacks."""
        return len(self._parked)

    @property
    def parked_conversations(self) -> int:
        """The number of parked conversations."""
        return len(self._offsets)

    def oldest(self) -> ParkedCallback | None:
        """Return the parked callback with the lowest offset, None if none is parked."""
        return self._parked[min(self._parked)] if self._parked else None

    def first_failed_at_ms(self) -> int | None:
        """
        Return when the parked callback that has failed for the longest time failed first.

        Return None if none has failed since it was parked or sent again.
        """
        failing = (one.failing_since_ms for one in self._parked.values() if one.attempts)
        return min(failing, default=None)

    def is_parked(self, name: bytes) -> bool:
        """Return whether the conversation is parked: its later callbacks have to follow."""
        return name in self._offsets

    def first(self, name: bytes) -> ParkedCallback | None:
        """Return the parked callback of a conversation that is delivered next, None if none is."""
        offsets = self._offsets.get(name)
        return self._parked[offsets[0]] if offsets else None

    def parked(self, offset: int) -> ParkedCallback | None:
        """Return the parked callback that is at `offset` of the main topic, None if none is."""
        return self._parked.get(offset)

    def waiting(self, name: bytes) -> list[ParkedCallback]:
        """Return the parked callbacks of a conversation, in order."""
        return [self._parked[offset] for offset in self._offsets.get(name, ())]

    def apply(self, change: Change) -> None:
        """Take over a change."""
        match change:
            case Position():
                self.position = change
            case ParkedCallback():
                self._park(change)
            case FinishedCallback(offset):
                self._remove(offset)
            case PartitionClaim() | TargetBegin():
                pass

    def _park(self, parked: ParkedCallback) -> None:
        name, offset = conversation(parked.record), parked.record.offset
        if known := self._parked.get(offset):
            self.parked_bytes -= record_sizes((known.record,)).memory_bytes
        else:
            insort(self._offsets.setdefault(name, []), offset)
        self._parked[offset] = parked
        self.parked_bytes += record_sizes((parked.record,)).memory_bytes
        self._schedule(name)

    def _remove(self, offset: int) -> None:
        if (known := self._parked.pop(offset, None)) is None:
            return
        self.parked_bytes -= record_sizes((known.record,)).memory_bytes
        name = conversation(known.record)
        self._offsets[name].remove(offset)
        if not self._offsets[name]:
            del self._offsets[name]
        self._schedule(name)

    def _schedule(self, name: bytes) -> None:
        first = self.first(name)
        if first is None or name in self._in_delivery:
            return
        is_failing = fails_again(first)
        due = self._due[is_failing]
        heapq.heappush(due, (first.next_try_ms, name))
        if len(due) > 2 * len(self._offsets) + 100:
            due[:] = [
                (head.next_try_ms, each)
                for each in self._offsets
                if each not in self._in_delivery
                and (head := self.first(each))
                and fails_again(head) is is_failing
            ]
            heapq.heapify(due)

    def next_due_ms(self, *, include_failing: bool = True) -> int | None:
        """
        Return the time at which the next conversation is due, None if none waits.

        `include_failing` False: leave out the conversations that fail again and again.
        """
        schedules = self._schedules(include_failing=include_failing)
        return min((due[0] for due in schedules), default=(None, b""))[0]

    def take_due(self, now_ms: int, *, include_failing: bool = True) -> bytes | None:
        """
        Return a conversation that is due, and keep it from others until `give_back`.

        `include_failing` False: leave out the conversations that fail again and again.
        """
        due = min(self._schedules(include_failing=include_failing), default=None)
        if due is None or due[0][0] > now_ms:
            return None
        _, name = heapq.heappop(due)
        self._in_delivery.add(name)
        return name

    def _schedules(self, *, include_failing: bool) -> list[list[tuple[int, bytes]]]:
        """Return the schedules that have a conversation, which is their first entry."""
        for is_failing, due in self._due.items():
            while due and not self._is_current(*due[0], is_failing=is_failing):
                heapq.heappop(due)
        return [
            due for is_failing, due in self._due.items() if due and is_failing <= include_failing
        ]

    def _is_current(self, due_ms: int, name: bytes, *, is_failing: bool) -> bool:
        first = self.first(name)
        return (
            first is not None
            and name not in self._in_delivery
            and (first.next_try_ms, fails_again(first)) == (due_ms, is_failing)
        )

    def give_back(self, name: bytes) -> None:
        """Schedule a conversation that was taken, if it is still parked."""
        self._in_delivery.discard(name)
        self._schedule(name)


def fails_again(first: ParkedCallback) -> bool:
    """Return whether a conversation has failed more than once at its first callback."""
    return first.attempts > 1
