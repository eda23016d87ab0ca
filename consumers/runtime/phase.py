"""The state of a consumer process: one of six phases, and a sentence. Does no I/O."""

from enum import StrEnum
from typing import NamedTuple

from consumers.runtime.status import ConsumerStatus


class Phase(StrEnum):
    """The phase of a consumer process; docs/monitoring.md says what to do in each."""

    STARTING = "starting"
    WORKING = "working"
    WAITING_FOR_KAFKA = "waiting for Kafka"
    WAITING_FOR_SINK = "waiting for the sink"
    STOPPED = "stopped"
    HANGING = "hanging"


class Explained(NamedTuple):
    """A phase, and a sentence that says why."""

    phase: Phase
    because: str


def phase_of(status: ConsumerStatus, *, positions_missing: int) -> Explained:
    """
    Return the phase of a process with this status.

    `positions_missing` is the number of partitions whose sink has not said yet where to continue.
    """
    # Kafka or the sink may answer, and lack a topic or refuse a right.
    continues = "The process continues when the cause is gone"
    faults = (
        (Phase.STOPPED, status.stopped, "A person must act"),
        (Phase.HANGING, status.hang, "Restart the process"),
        (Phase.WAITING_FOR_KAFKA, status.kafka_fault, continues),
        (Phase.WAITING_FOR_SINK, status.sink_fault, continues),
    )
    for phase, fault, then in faults:
        if fault:
            return Explained(phase, f"{then}. For {fault.for_s:.0f} s: {fault.what}")
    return _without_fault(status.partitions, positions_missing)


def _without_fault(partitions: int | None, positions_missing: int) -> Explained:
    if partitions is None:
        return Explained(Phase.STARTING, "The process joins its group.")
    if positions_missing:
        return Explained(
            Phase.STARTING,
            f"The sink has not returned its position in {positions_missing} of {partitions} "
            "partitions yet.",
        )
    if not partitions:
        return Explained(Phase.WORKING, "Other members of the group have all partitions.")
    noun = "partition" if partitions == 1 else "partitions"
    return Explained(Phase.WORKING, f"The process consumes {partitions} {noun}.")
