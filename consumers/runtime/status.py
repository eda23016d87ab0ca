"""
The status of a consumer process, as its admin port shows it.

All numbers are computed when they are asked for: a consumer that has stopped, or that waits, moves
no gauge.
"""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from consumers.runtime.partition_worker import PartitionWorker
from consumers.runtime.pending_batch import WaitingTimes
from consumers.runtime.source import KafkaUnavailable, Source
from schemas.telemetry import (
    CONSUMER_BACKING_OFF,
    CONSUMER_HANGING,
    CONSUMER_HELD_BYTES,
    CONSUMER_KAFKA_UP,
    CONSUMER_LAG,
    CONSUMER_OLDEST_IN_KAFKA_S,
    CONSUMER_OLDEST_S,
    CONSUMER_SINK_UP,
    CONSUMER_STOPPED,
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that lasts: what failed last, and for how many seconds it has failed."""

    what: str
    for_s: float


class ConsumerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    The content of `/status`; docs/monitoring.md explains each field.

    A value is None while it is not known. An earlier release does not send the fields with a
    default.
    """

    name: str
    uptime_s: float
    partitions: int | None
    partitions_backing_off: int
    lag_offsets: int | None
    oldest_waiting_s: float | None
    batch_age_s: float
    rejected_lately: int
    stopped: Fault | None
    kafka_fault: Fault | None
    sink_fault: Fault | None
    # Of the loop or of a write. The process is still in its group; its other writes may go on.
    hang: Fault | None = None
    # One of `phase.Phase`, and a sentence about it.
    phase: str | None = None
    phase_because: str = ""
    kafka_up: bool | None = None
    sink_up: bool | None = None
    retries: int | None = None
    disk_free_bytes: int | None = None
    records_per_s: float | None = None
    # Since Kafka wrote the record; `oldest_waiting_s` is since an ingress received the callback.
    oldest_in_kafka_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """
    How far the sink lags in the partitions of this process.

    `offsets` is None while an end of the topic is not known. `waiting` has the longest times of all
    partitions, each of the first callback that is not in the sink: 0.0 if none waits, None while
    that is not known. They are as of `measured_at_s`, in Unix time.
    """

    offsets: int | None = None
    waiting: WaitingTimes | None = None
    measured_at_s: float = 0.0

    @property
    def has_waiting(self) -> bool:
        """True if a callback is known to wait."""
        return self.waiting is not None and any(self.waiting)

    def waiting_at(self, now_s: float) -> WaitingTimes | None:
        """Return `waiting` as of `now_s`, in Unix time, if nothing got into the sink since."""
        passed_s = max(0.0, now_s - self.measured_at_s)
        return self.waiting.after(passed_s) if self.waiting else None


def measure_lag(workers: Collection[PartitionWorker], source: Source | None) -> Lag:
    """Return the lag of the workers; without a source, the process is not in its group."""
    if source is None:
        return Lag()
    lags = {worker: worker.lag(source.cached_end_offset(worker.partition)) for worker in workers}
    known = [lag for lag in lags.values() if lag is not None]
    now_s = time.time()
    times = [worker.waiting_times(now_s, lag=lag) for worker, lag in lags.items()]
    longest = WaitingTimes(
        max((one.since_receipt_s for one in times if one), default=0.0),
        max((one.in_kafka_s for one in times if one), default=0.0),
    )
    return Lag(
        offsets=sum(known) if len(known) == len(lags) else None,
        # A known time is shown even if another partition's is not known.
        waiting=longest if any(longest) or None not in times else None,
        measured_at_s=now_s,
    )


def sink_answers(workers: Collection[PartitionWorker], now: float, age_s_max: float) -> bool | None:
    """
    Return whether the sink's last answers to all workers were good, False if one of them failed.

    Return None if a worker has had no answer in the last `age_s_max`.
    """
    failures = [worker.backoff.failure for worker in workers if worker.backoff.failure]
    if failures:
        # Without Kafka the sink is not asked.
        are_of_kafka = all(isinstance(failure.error, KafkaUnavailable) for failure in failures)
        return None if are_of_kafka else False
    succeeded_at = [worker.backoff.succeeded_at for worker in workers]
    if not succeeded_at or any(
        time_s is None or now - time_s > age_s_max for time_s in succeeded_at
    ):
        return None
    return True


def set_gauges(status: ConsumerStatus, held_bytes: int) -> None:
    """Set the gauges of /metrics to the values of `status`."""
    CONSUMER_HELD_BYTES.set(held_bytes)
    not_in_group = status.partitions is None
    CONSUMER_BACKING_OFF.set(math.nan if not_in_group else status.partitions_backing_off)
    CONSUMER_LAG.set(_number(status.lag_offsets))
    CONSUMER_OLDEST_S.set(_number(status.oldest_waiting_s))
    CONSUMER_OLDEST_IN_KAFKA_S.set(_number(status.oldest_in_kafka_s))
    CONSUMER_KAFKA_UP.set(_number(status.kafka_up))
    CONSUMER_SINK_UP.set(_number(status.sink_up))
    CONSUMER_STOPPED.set(status.stopped is not None)
    CONSUMER_HANGING.set(status.hang is not None)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def worker_fault(
    workers: Collection[PartitionWorker], now: float, *, of_kafka: bool
) -> Fault | None:
    """Return the oldest fault of the workers that is one of Kafka, or one of the sink."""
    faults = [
        Fault(what=str(failure.error), for_s=max(0.0, now - failure.since))
        for worker in workers
        if (failure := worker.backoff.failure)
        and isinstance(failure.error, KafkaUnavailable) is of_kafka
    ]
    return max(faults, key=lambda fault: fault.for_s, default=None)
