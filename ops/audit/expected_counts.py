"""The number of callbacks that the counters must and may have counted, by app and day. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# The number of NO_KEY: the counters do not count the callback.
NOT_COUNTED = 0


class CountKey(NamedTuple):
    """
    The properties that callbacks which are counted together have in common.

    Each key has a number, in the order in which keys are found.

    `is_unsure`: a repeat of the callback may be of another day. The audit does not know which of
    them the counters have counted, so any day of the app may lack as many as it has such repeats.
    """

    app: str
    day: str
    is_message: bool
    is_up_to_end: bool
    is_unsure: bool


NO_KEY = CountKey("", "", is_message=False, is_up_to_end=False, is_unsure=False)


@dataclass(slots=True)
class DayRecords:
    """The records of a day: `least` must be counted in it, `most` may be."""

    least_messages: int = 0
    least_callbacks: int = 0
    most_messages: int = 0
    most_callbacks: int = 0


class ExpectedCounts:
    """The number of callbacks with each key, without those that repeat another one."""

    def __init__(self, keys: Mapping[CountKey, int], counts: Sequence[int]) -> None:
        self._keys = list(keys)
        self._counts = counts
        # By key number, the callbacks that came after another one of their id, and those of them
        # whose id is counted anyway: an earlier callback of it is up to its origin's end.
        self._repeats = Counter[int]()
        self._covered_repeats = Counter[int]()

    def leave_out_repeats(self, key_numbers: Iterable[int]) -> None:
        """Leave out the repeats of one id; `key_numbers` are those of its callbacks, in order."""
        repeats = (number for number in key_numbers if number != NOT_COUNTED)
        first = next(repeats, NOT_COUNTED)
        is_covered = first != NOT_COUNTED and self._keys[first].is_up_to_end
        for number in repeats:
            self._repeats[number] += 1
            self._covered_repeats[number] += is_covered and self._keys[number].is_up_to_end
            is_covered = is_covered or self._keys[number].is_up_to_end

    def messages(self) -> tuple[int, int]:
        """Return the least and the greatest number of messages."""
        least = most = 0
        for number, key in enumerate(self._keys):
            if key.is_message:
                most += self._counts[number] - self._repeats[number]
                least += self._least(number)
        return least, most

    def _least(self, number: int) -> int:
        is_up_to_end = self._keys[number].is_up_to_end
        return self._counts[number] - self._covered_repeats[number] if is_up_to_end else 0

    def days(self) -> dict[tuple[str, str], DayRecords]:
        """Return the records of each app and day."""
        days: defaultdict[tuple[str, str], DayRecords] = defaultdict(DayRecords)
        for number, key in enumerate(self._keys[1:], 1):
            day = days[key.app, key.day]
            # An unsure repeat may be counted in its day, in place of the first callback of its id.
            most = self._counts[number] - (0 if key.is_unsure else self._repeats[number])
            least = self._least(number)
            day.most_callbacks += most
            day.most_messages += most * key.is_message
            day.least_callbacks += least
            day.least_messages += least * key.is_message
        return days

    def unsure_repeats(self) -> Counter[str]:
        """Return by app how many repeats may be of another day than their first callback."""
        unsure = Counter[str]()
        for number, key in enumerate(self._keys):
            if key.is_unsure:
                unsure[key.app] += self._repeats[number]
        return unsure
