"""The parts of a consumer that all its partitions share."""

from collections.abc import Callable
from dataclasses import dataclass

from consumers.runtime.batch import Limits, Partition
from consumers.runtime.brake import Brake
from consumers.runtime.dead_letters import DeadLetters
from consumers.runtime.handler import Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerParts:
    """
    The handler, the limits and the shared objects of one consumer, for its partitions' workers.

    `may_refill_sink`: a partition without a position in the sink may begin although the group has
    committed an offset. `kafka_prefix`: the names in Kafka begin with it.
    """

    name: str
    handler: Handler
    limits: Limits
    dead_letters: DeadLetters
    brake: Brake
    may_refill_sink: bool
    clock: Callable[[], float]
    kafka_prefix: str = ""

    def name_in_kafka(self, partition: Partition) -> str:
        """Return the partition's name as the cluster knows it, for texts."""
        return f"{self.kafka_prefix}{partition}"
