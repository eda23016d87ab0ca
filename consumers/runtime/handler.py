"""The seam between the runtime and a sink: three verbs, and the outcomes that they may have."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from consumers.runtime.batch import Batch, Limits, PackedRecords, Partition, Position
from schemas.settings import Settings
from schemas.topics import Topic


class Rejected(Exception):
    """
    One record can never be applied. It is set aside, and the rest of the batch goes on.

    `offset` None: the sink does not tell which of the batch's records it is. Then the batch comes
    again in halves, until the record stands alone.
    """

    def __init__(self, offset: int | None, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


class Unavailable(Exception):
    """Nothing can be applied now. The same records come again later, nothing is set aside."""


class Elsewhere(Exception):
    """
    The sink has another position than the one where the batch begins; the consumer goes there.

    The runtime compares the whole position with the topic before it continues from it. None: the
    sink has no position of the partition any more. Then the consumer begins as on assignment.
    """

    def __init__(self, position: Position | None) -> None:
        super().__init__(f"the sink has the position {position}")
        self.position = position

    @property
    def next_offset(self) -> int | None:
        """The offset that the sink expects next."""
        return self.position.next_offset if self.position else None


class Stopped(Exception):
    """The consumer must not go on by itself. The text explains why and what a person can do."""


class Handler(Protocol):
    """
    A sink. Its own position is the authority; the group's committed offset is for lag tools.

    Several partitions call it at once; of one partition there is one call at a time.
    """

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the sink's position in `partition`, None if it has none.

        Raises:
            Unavailable: the sink cannot be asked now.
            Stopped: going on would lose or double records; a person decides.
        """
        ...

    async def begin(self, partition: Partition, position: Position) -> None:
        """
        Store `position` as that of `partition`; a position that the sink has already, stays.

        Raises:
            Unavailable: the sink cannot be written now.
        """
        ...

    async def handle(self, batch: Batch) -> None:
        """
        Apply the batch's effect and move the sink's position to `batch.reached`, in one write.

        Both or none, and only if `batch.follows` the sink's position: the offset is
        `batch.begins_at`, and the topic's id, where both are known, that of the batch. That fences
        members that have lost the partition without knowing it, and those that read another topic
        of this name. The same records may come again, cut into other batches.

        Raises:
            Rejected: one record can never be applied; nothing of the batch was.
            Unavailable: nothing of it could be applied now.
            Elsewhere: the sink has another position; nothing of it was applied.
            Stopped: going on would lose or double records; a person decides.
        """
        ...


@runtime_checkable
class PackingHandler(Handler, Protocol):
    """A handler of batches that would take too much memory as records. It rejects no record."""

    def packed_records(self, partition: Partition) -> PackedRecords:
        """Return an object without records, for a new batch of `partition`."""
        ...


# What a consumer opens: its handler with its limits, closed at the end.
Opened: TypeAlias = AbstractAsyncContextManager[tuple[Handler, Limits]]
Own = TypeVar("Own", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer(Generic[Own]):
    """
    What a process runs. `name` is its group, and in capitals the prefix of its settings.

    `open` yields the handler and its limits, whether the sink can be reached already or not; it may
    raise Faults.
    """

    name: str
    topic: Topic
    settings: type[Own]
    open: Callable[[Own], Opened]

    @property
    def prefix(self) -> str:
        """What the variables of its settings begin with."""
        return self.name.upper().replace("-", "_") + "_"
