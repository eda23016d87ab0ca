"""
The interface between the runtime and Kafka.

A source returns only committed records. Besides the fetches themselves, only `seek` changes the
offset of the next fetch: if Kafka does not have that offset, the source raises `OutOfRange` and
never skips records silently.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from consumers.runtime.batch import Partition, Record
from consumers.runtime.handler import Unavailable

# A call of Kafka fails after this time.
CALL_TIMEOUT_S = 10.0


class FetchedRecords(NamedTuple):
    """The result of a fetch. The next fetch begins after the records and all markers after them."""

    records: Sequence[Record]
    next_fetch_offset: int


class OutOfRange(Exception):
    """The topic does not have these offsets, per partition, which were to be fetched."""

    def __init__(self, offsets: Mapping[Partition, int]) -> None:
        super().__init__(f"out of range: {offsets}")
        self.offsets = offsets


class LogIdentity(NamedTuple):
    """
    Identifies the log from which records were read. Compare offsets only if both fields are equal.

    `topic_id` is Kafka's id, None if Kafka reports none. `log_version` is another one after every
    election of a leader and every new connection to it: then the log may have been truncated, or
    restored from an older copy.
    """

    topic_id: str | None
    log_version: object


class KafkaUnavailable(Unavailable):
    """Kafka did not answer, so nothing could be applied; the sink may be well."""


class Source(Protocol):
    """One member's view of a topic: `KafkaSource`, or a topic in memory for the tests."""

    async def fetch(self, partitions: Collection[Partition]) -> Mapping[Partition, FetchedRecords]:
        """
        Return the records of `partitions` that arrive within a short wait; often there are none.

        The member stays in its group only while this is called, even if `partitions` is empty.

        Raises:
            OutOfRange: raised again until a `seek` of these partitions; the records of the others
                come with the next call.
        """
        ...

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch `partition` from `next_offset` on."""
        ...

    def cached_end_offset(self, partition: Partition) -> int | None:
        """Return the offset after all readable records, as of some seconds ago, None if unknown."""
        ...

    async def committed(self, partition: Partition) -> int | None:
        """Return the group's committed offset, None if there is none."""
        ...

    async def log_start(self, partition: Partition) -> int:
        """Return the lowest offset that the partition still has."""
        ...

    async def end_offset(self, partition: Partition) -> int:
        """Ask Kafka for the offset after all readable records."""
        ...

    async def log_identity(self, partition: Partition, *, since: float) -> LogIdentity:
        """
        Return the partition's identity, as it was at `since` (`time.monotonic`) or later.

        Raises:
            Unavailable: Kafka does not answer, or the topic does not exist now.
        """
        ...

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Commit `next_offset` soon, for lag tools, and to notice an emptied sink."""
        ...
