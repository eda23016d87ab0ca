"""A rebuild of the counts names a partition that Kafka lacks as the cluster knows it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.builders import P0
from support.kafka.access import plaintext

from consumers.runtime.batch import Partition, Position
from ops.counters.plan import Incomplete, Part, plan
from ops.counters.rebuild import Rebuild, RebuildImpossible
from ops.records.callbacks_topic import CallbacksTopic, OffsetRange

KAFKA = replace(plaintext(""), security=replace(plaintext("").security, prefix="staging."))
NAME = f"staging.{P0}"
RANGE = OffsetRange(7, 9)


class Topic(CallbacksTopic):
    """A topic whose first records were deleted."""

    async def id(self) -> str:
        """Return an id."""
        return "id"

    async def ranges(self) -> Mapping[Partition, OffsetRange]:
        """Return the offsets of the only partition."""
        return {P0: RANGE}


class Counts:
    """A generation in memory that has counted nothing, and the handler that counts into it."""

    async def rebuilding(self) -> None:
        """Return that no rebuild was interrupted."""

    async def begin_partition(self, *_: Any) -> None:
        """Begin where it is said."""

    async def position(self, _: Partition) -> None:
        """Return no position."""

    async def positions(self, _: int) -> Mapping[Partition, Position]:
        """Return the position at which the rebuild began."""
        return {P0: Position(0)}


async def test_offsets_that_kafka_does_not_have() -> None:
    """Before the rebuild, and if Kafka has deleted them since."""
    topic, counts = Topic(None, KAFKA), Counts()  # type: ignore[arg-type]
    with pytest.raises(Incomplete, match=f"the first 7 offsets of {NAME} any more"):
        await plan(counts, topic, None, None)  # type: ignore[arg-type]
    rebuild = Rebuild(
        *(2, counts, counts, topic, None),  # type: ignore[arg-type]
        records_per_s=1.0,
        advance=lambda _: None,
    )
    with pytest.raises(RebuildImpossible, match=f"does not have offset 0 of {NAME} any more"):
        await rebuild.run([Part(partition=P0, begins_at=0, is_continued=False, kafka=RANGE)])
