"""
The interface between the runtime and a sink: three methods, and their possible outcomes.

Handlers that can do more: `PackingHandler`, `ReleasingHandler` and `MeasuringHandler` here, and
`DeadLetteringHandler` in dead_lettering_handler.py.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from consumers.runtime.batch import Batch, Limits, PackedRecords, Partition, Position
from consumers.runtime.ongoing_failure import OngoingFailure
from schemas.kafka_access import KafkaAccess
from schemas.settings import Settings, SharedSettings
from schemas.topics import Topic

# The runtime waits for one call of a handler for this time, well inside the group's rebalance
# time-out (30 s): a rebalance waits for the call in flight.
HANDLE_TIMEOUT_S = 20.0


class Rejected(Exception):
    """
    One record can never be applied. It goes to the dead-letter topic; the others are applied.

    `offset` None: the sink does not say which of the batch's records it is. Then the batch is
    handled again in halves, until the record is alone.
    """

    def __init__(self, offset: int | None, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


class Unavailable(Exception):
    """Nothing can be applied now. The same records are handled again later."""


class TookTooLong(Unavailable):
    """
    The sink did not apply the batch within its time limit.

    The records are handled again later, in halves: the same batch might take too long each time.
    Packed records are fetched again for smaller batches, after the sink was asked for its position.
    A small batch of packed records, or of one record, comes again as it is.
    """


class PositionDiffers(Exception):
    """
    The sink's position is not the offset at which the batch begins, or is of another topic.

    The consumer continues at the sink's position.

    Either nothing of the batch was applied, or only its first records, and the sink's position is
    after these.

    `position` is where to continue; the runtime first compares it with the topic. None: the sink
    has no position any more, so the runtime asks for it again, as on assignment.
    """

    def __init__(self, position: Position | None) -> None:
        super().__init__(f"the sink has the position {position}")
        self.position = position

    @property
    def next_offset(self) -> int | None:
        """The offset that the sink expects next."""
        return self.position.next_offset if self.position else None


class Stopped(Exception):
    """The consumer must not continue by itself. The text says why and what a person can do."""


class Handler(Protocol):
    """
    A sink. Its own position is the authority; the group's committed offset is for lag tools, and to
    notice an emptied sink.

    It is called for several partitions concurrently, but for each partition one call after the
    other.
    """

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the sink's position in `partition`, None if it has none.

        Raises:
            Unavailable: the sink does not answer now.
            Stopped: to continue would lose or duplicate records; a person decides.
        """
        ...

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """
        Store `position` as that of `partition`, unless the sink has a position of it already.

        Raises:
            Unavailable: the sink cannot be written now.
            Stopped: the sink refuses the position; a person decides.
        """
        ...

    async def handle(self, batch: Batch) -> None:
        """
        Apply the batch's effect and move the sink's position to `batch.reached`, in one write.

        Both or none, and only if `batch.follows` the sink's position: the position's
        offset is `batch.begins_at`, and its topic id is the batch's, if both are known. That fences
        members that have lost the partition without noticing it, and those that read another topic
        of this name. The same records may be handled again, in other batches.

        Raises:
            Rejected: one record can never be applied; nothing was applied.
            Unavailable: nothing could be applied now, or the sink did not answer.
            TookTooLong: nothing was applied, or the sink did not answer, within its time limit.
            PositionDiffers: the sink has another position, from before the call or after a part of
                it.
            Stopped: to continue would lose or duplicate records; a person decides.
        """
        ...


@runtime_checkable
class PackingHandler(Handler, Protocol):
    """A handler of batches that would take too much memory as records. It rejects no record."""

    def packed_records(self, partition: Partition) -> PackedRecords:
        """Return an object without records, for a new batch of `partition`."""
        ...


@runtime_checkable
class ReleasingHandler(Handler, Protocol):
    """A handler that works on a partition between its calls, until the partition is revoked."""

    async def release(self, partition: Partition) -> None:
        """
        Stop all work on `partition`; it is called once no call of the handler is in flight.

        A rebalance waits for it, so it returns within a second. It raises nothing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """
    What only the handler knows of its sink.

    `disk_free_bytes`: of the disk that the sink is on; None if it is elsewhere or does not answer.
    `failure`: why the sink takes nothing, even if no batch waits for it.
    """

    disk_free_bytes: int | None = None
    failure: OngoingFailure | None = None


@runtime_checkable
class MeasuringHandler(Handler, Protocol):
    """A handler with gauges of its own, which are set when /metrics or /status is asked for."""

    async def measure(self, partitions: Collection[Partition] | None) -> SinkState:
        """
        Set the gauges to the present values, or to NaN where these are not known, within a second.

        `partitions` are those of this process, None while it is not in its group.
        """
        ...


# The result of `Consumer.open`: the handler and its limits; the handler is closed at the end.
Opened: TypeAlias = AbstractAsyncContextManager[tuple[Handler, Limits]]
OwnSettings = TypeVar("OwnSettings", bound=Settings)


class RejectionSettings(NamedTuple):
    """CONSUMER_DEAD_LETTERS_TOPIC and CONSUMER_DEAD_LETTERS_MAX."""

    topic: str
    records_max: int


_Configure = Callable[
    [SharedSettings, KafkaAccess, OwnSettings, RejectionSettings], "Consumer[OwnSettings]"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer(Generic[OwnSettings]):
    """
    A consumer as a process runs it.

    `name` is the consumer group, and in capitals the prefix of the settings, but for a consumer
    with `configure`: its name before that has the prefix, the one after it is the group. `open`
    yields the handler and its limits, even if the sink cannot be reached yet; it may raise
    SettingsFaults.

    `configure`, if given, returns the consumer that the process runs, with a group and a handler
    that depend on the settings.
    """

    name: str
    topic: Topic
    settings: type[OwnSettings]
    open: Callable[[OwnSettings], Opened]
    configure: "_Configure[OwnSettings] | None" = None

    @property
    def prefix(self) -> str:
        """The prefix of the environment variables of the consumer's settings."""
        return self.name.upper().replace("-", "_") + "_"
