"""The bounds of the callbacks that wait in one partition of a target's retry topic. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.runtime.batch import Record
from consumers.runtime.pending_batch import record_sizes
from consumers.webhook.retry_state import RetryState


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedBounds:
    """The bounds of a partition's parked callbacks, at which it takes no more of them."""

    records: int
    bytes: int

    def fill(self, state: RetryState, *, also: Sequence[Record] = ()) -> float:
        """
        Return the part of the bounds that is in use; from 1 on, the partition is full.

        `also` are callbacks that are about to be parked.
        """
        records = state.parked_records + len(also)
        parked_bytes = state.parked_bytes + record_sizes(also).memory_bytes
        return max(records / self.records, parked_bytes / self.bytes)
