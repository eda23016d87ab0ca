"""
The loop of every consumer: fetch, and have each partition's worker deliver.

Crash-only: rebalance, shutdown and crash drop held records in the same way. They are not in the
sink, so they are fetched again from the sink's position.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from aiokafka.errors import KafkaError

from consumers.runtime.batch import Limits, Partition
from consumers.runtime.brake import Brake
from consumers.runtime.consumer_parts import ConsumerParts
from consumers.runtime.dead_lettering_handler import DeadLetteringHandler
from consumers.runtime.dead_letters import DeadLetters
from consumers.runtime.handler import HANDLE_TIMEOUT_S, Handler
from consumers.runtime.partition_worker import PartitionWorker
from consumers.runtime.pending_batch import WaitingTimes
from consumers.runtime.source import OutOfRange, Source
from consumers.runtime.status import (
    ConsumerStatus,
    Fault,
    Lag,
    measure_lag,
    set_gauges,
    sink_answers,
    worker_fault,
)
from schemas.telemetry import CONSUMER_REBALANCES

# A round takes at most one fetch (`source.CALL_TIMEOUT_S`); joining and a new client take longer.
ROUND_S_MAX = 120.0
LAG_INTERVAL_S = 0.1
# After HANDLE_TIMEOUT_S a call of a handler is cancelled; after this time it counts as hanging.
HANDLING_S_MAX = HANDLE_TIMEOUT_S + 15.0
# An idle partition's sink is asked each 10 s and has 20 s to answer; others, when a batch is due.
SINK_ANSWER_S_MAX = 60.0


class Runner:
    """Runs the workers of one member of the group, one for each partition assigned to it."""

    def __init__(
        self,
        *,
        name: str,
        handler: Handler,
        limits: Limits,
        dead_letters: DeadLetters,
        may_refill_sink: bool,
        dead_letters_max: int,
        held_bytes_max: int,
        kafka_prefix: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = ConsumerParts(
            name=name,
            handler=handler,
            limits=limits,
            dead_letters=dead_letters,
            brake=handler.brake
            if isinstance(handler, DeadLetteringHandler)
            else Brake(dead_letters_max),
            may_refill_sink=may_refill_sink,
            clock=clock,
            kafka_prefix=kafka_prefix,
        )
        self._clock = clock
        self._held_bytes_max = held_bytes_max
        self._workers: dict[Partition, PartitionWorker] = {}
        self._tasks: dict[PartitionWorker, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None
        # None while this process is not a member of its group.
        self._source: Source | None = None
        self._started_at = self._round_ended_at = clock()
        self._lag_measured_at = -LAG_INTERVAL_S
        # The lag as the last workers ended.
        self._last_lag = Lag()

    def assign(self, source: Source, partitions: Sequence[Partition]) -> None:
        """Begin a worker for each of `partitions`."""
        CONSUMER_REBALANCES.inc()
        self._end()
        self._source = source
        for partition in partitions:
            worker = self._workers[partition] = PartitionWorker(partition, source, self._parts)
            self._tasks[worker] = asyncio.create_task(worker.run(), name=str(partition))

    async def revoke_all(self) -> None:
        """Drop all held records, and return when no delivery is in flight."""
        tasks = self._end()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._note_failure(tasks)

    async def run(self, source: Source, stop: asyncio.Event) -> None:
        """
        Deliver until `stop` is set.

        Raises:
            Stopped: to continue would lose or duplicate records.
        """
        try:
            while not stop.is_set():
                await self.run_round(source)
        finally:
            await self.revoke_all()

    async def run_round(self, source: Source) -> None:
        """
        Run one round of the loop: fetch once, and hand the records to the workers.

        Raises:
            Stopped: to continue would lose or duplicate records. All other exceptions are bugs.
        """
        ready_partitions = [
            partition for partition, worker in self._workers.items() if worker.is_ready_for_more
        ]
        if self._held_bytes() >= self._held_bytes_max:
            self._complete_largest()
            ready_partitions = []
        try:
            # No await between the fetch and the workers: its records belong to the current workers.
            for partition, (records, next_fetch_offset) in (
                await source.fetch(ready_partitions)
            ).items():
                if worker := self._workers.get(partition):
                    worker.take(records, next_fetch_offset=next_fetch_offset)
        except OutOfRange as error:
            for partition, offset in error.offsets.items():
                if worker := self._workers.get(partition):
                    worker.note_out_of_range(offset)
        for worker in self._workers.values():
            worker.wake()
        self._round_ended_at = self._clock()
        if self._round_ended_at - self._lag_measured_at >= LAG_INTERVAL_S:
            # The workers note since when they lag, also if nothing asks for the status.
            self._lag_measured_at = self._round_ended_at
            measure_lag(self._workers.values(), self._source)
        # The workers' tasks run, even if each fetch returns immediately.
        await asyncio.sleep(0)
        self._raise_failure()

    def hang(self) -> Fault | None:
        """Return which part hangs, None if none does. An unavailable sink does not hang."""
        for_s = self._clock() - self._round_ended_at
        if for_s > ROUND_S_MAX:
            return Fault(what="the loop has finished no round", for_s=for_s)
        for worker in self._workers.values():
            begun = worker.in_flight_since
            if begun is not None and (for_s := self._clock() - begun) > HANDLING_S_MAX:
                where = self._parts.name_in_kafka(worker.partition)
                what = f"a write of {where} has not ended"
                return Fault(what=what, for_s=for_s)
        return None

    def note_alive(self) -> None:
        """Note that the loop does not hang, although no round follows for some time."""
        self._round_ended_at = self._clock()

    def set_gauges(self, status: ConsumerStatus) -> None:
        """Set the gauges of /metrics to the present values; `status` is the present status."""
        set_gauges(status, self._held_bytes())

    @property
    def partitions(self) -> list[Partition] | None:
        """The partitions of this process, None while it is not in its group."""
        return None if self._source is None else list(self._workers)

    @property
    def positions_missing(self) -> int:
        """The number of partitions whose sink has not said yet where to continue."""
        return sum(not worker.queue.is_begun for worker in self._workers.values())

    @property
    def batch_age_s(self) -> float:
        """The age at which a batch goes to the sink."""
        return self._parts.limits.age_s

    def status(
        self,
        *,
        stopped: Fault | None = None,
        kafka_fault: Fault | None = None,
        sink_fault: Fault | None = None,
    ) -> ConsumerStatus:
        """Return the status; the arguments are faults that the process knows."""
        workers, now = self._workers.values(), self._clock()
        lag = measure_lag(workers, self._source)
        kafka_fault = kafka_fault or worker_fault(workers, now, of_kafka=True)
        waiting = self._waiting_times(lag, stopped=bool(stopped), no_kafka=bool(kafka_fault))
        answer_s_max = self._parts.limits.age_s + SINK_ANSWER_S_MAX
        return ConsumerStatus(
            name=self._parts.name,
            uptime_s=now - self._started_at,
            partitions=None if self._source is None else len(workers),
            partitions_backing_off=sum(worker.backoff.is_paused for worker in workers),
            # Without Kafka, callbacks may have arrived that this process does not know of.
            lag_offsets=None if kafka_fault else lag.offsets,
            oldest_waiting_s=waiting.since_receipt_s if waiting else None,
            oldest_in_kafka_s=waiting.in_kafka_s if waiting else None,
            batch_age_s=self._parts.limits.age_s,
            rejected_lately=self._parts.brake.rejected_lately,
            stopped=stopped,
            kafka_fault=kafka_fault,
            sink_fault=sink_fault or worker_fault(workers, now, of_kafka=False),
            sink_up=sink_answers(workers, now, answer_s_max),
        )

    def _waiting_times(self, lag: Lag, *, stopped: bool, no_kafka: bool) -> WaitingTimes | None:
        # A stopped process has no workers any more, and its callbacks wait on.
        if stopped and self._last_lag.has_waiting:
            return self._last_lag.waiting_at(time.time())
        # Without Kafka, the known callbacks wait at least as long, and 0 would be a guess.
        return None if no_kafka and not lag.has_waiting else lag.waiting

    def _end(self) -> list[asyncio.Task[None]]:
        if self._workers:
            self._last_lag = measure_lag(self._workers.values(), self._source)
        tasks, self._tasks, self._workers = self._tasks, {}, {}
        self._source = None
        for worker, task in tasks.items():
            worker.end(task)
        return list(tasks.values())

    def _held_bytes(self) -> int:
        return sum(worker.queue.held_bytes for worker in self._workers.values())

    def _complete_largest(self) -> None:
        """Complete the largest growing batch, so that it is delivered and makes room."""
        max(self._workers.values(), key=lambda worker: worker.queue.growing_bytes).queue.complete()

    def _raise_failure(self) -> None:
        self._note_failure(self._tasks.values())
        if any(task.cancelled() for task in self._tasks.values()):
            # The runtime did not cancel it. The partition would make no progress, and nothing would
            # show it.
            raise RuntimeError("a handler raised CancelledError, but its task was not cancelled")
        if isinstance(self._failure, KafkaError | OSError):
            # The caller would take it for an error of the client, or of the admin port.
            raise RuntimeError(f"a handler raised {self._failure!r}") from self._failure  # noqa: TRY004
        if self._failure is not None:
            raise self._failure

    def _note_failure(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception():
                self._failure = self._failure or task.exception()
