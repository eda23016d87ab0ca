"""The seam between the runtime and a sink: three verbs, and the outcomes that they may have."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from consumers.runtime.batch import Batch, Limits, Partition
from schemas.topics import Topic


class Rejected(Exception):
    """One record can never be applied. It is set aside, and the rest of the batch goes on."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


class Unavailable(Exception):
    """Nothing can be applied now. The same records come again later, nothing is set aside."""


class Elsewhere(Exception):
    """
    The sink stands at another offset than the batch begins at; the consumer goes there.

    None: the sink has nothing of the partition any more. Then the consumer begins as on assignment.
    """

    def __init__(self, next_offset: int | None) -> None:
        super().__init__(f"the sink stands at offset {next_offset}")
        self.next_offset = next_offset


class Stopped(Exception):
    """The consumer must not go on by itself. The text explains why and what a person can do."""


class Handler(Protocol):
    """A sink. Its own position is the authority; the group's committed offset is for lag tools."""

    async def position(self, partition: Partition) -> int | None:
        """
        Return the offset that the sink expects next from `partition`, None if it has nothing of it.

        Raises:
            Unavailable: the sink cannot be asked now.
            Stopped: going on would lose or double records; a person decides.
        """
        ...

    async def begin(self, partition: Partition, next_offset: int) -> None:
        """
        Have the sink expect `next_offset` of `partition`; where it has a position, that one stays.

        Raises:
            Unavailable: the sink cannot be written now.
        """
        ...

    async def handle(self, batch: Batch) -> None:
        """
        Apply the batch's effect and move the sink's position, in one write.

        Both or none, and only if the sink's position equals `batch.begins_at`: that fences members
        that have lost the partition without knowing it. The same records may come again, cut into
        other batches.

        Raises:
            Rejected: one record can never be applied; nothing of the batch was.
            Unavailable: nothing of it could be applied now.
            Elsewhere: the sink stands at another offset; nothing of it was applied.
            Stopped: going on would lose or double records; a person decides.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """
    What runs as `python -m consumers NAME`. `name` is the group id and the argument too.

    `open` reads the consumer's settings (prefix NAME_), raising Faults, and yields its handler and
    limits, whether the sink can be reached already or not.
    """

    name: str
    topic: Topic
    open: Callable[[Mapping[str, str]], AbstractAsyncContextManager[tuple[Handler, Limits]]]
