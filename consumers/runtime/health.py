"""The health of a consumer process, for the admin port."""

import time
from dataclasses import dataclass, field

import msgspec

from consumers.runtime.handler import Handler, MeasuringHandler, SinkState
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.ongoing_failure import OngoingFailure
from consumers.runtime.phase import phase_of
from consumers.runtime.runner import Runner
from consumers.runtime.status import ConsumerStatus, Fault
from schemas.rate import RATE_WINDOW_S, Rates
from schemas.telemetry import CONSUMER_METRICS
from schemas.url_text import without_url_secrets


@dataclass(slots=True)
class ConsumerHealth:
    """The health of a consumer process, from all of its parts."""

    runner: Runner
    handler: Handler
    kafka_availability: KafkaAvailability
    # Why the process has left its group and waits for a person.
    stopped: OngoingFailure | None = None
    rates: Rates = field(init=False)

    def __post_init__(self) -> None:
        """Measure rates over at least two batches."""
        self.rates = Rates(max(RATE_WINDOW_S, 2 * self.runner.batch_age_s))

    async def watch(self) -> None:
        """Note how many records are in the sink, until cancelled."""
        await self.rates.watch(
            lambda: {"records": CONSUMER_METRICS.get_sample_value("consumer_records_total") or 0.0}
        )

    async def status(self) -> ConsumerStatus:
        """Return the content of `/status`."""
        sink = SinkState()
        if isinstance(self.handler, MeasuringHandler):
            sink = await self.handler.measure(self.runner.partitions)
        # A process that has stopped has left its group, and asks Kafka and the sink nothing more.
        stopped = _fault(self.stopped)
        status = self.runner.status(
            stopped=stopped,
            kafka_fault=None if stopped else _fault(self.kafka_availability.failure),
            sink_fault=None if stopped else _fault(sink.failure),
        )
        status = msgspec.structs.replace(status, hang=self.runner.hang())
        explained = phase_of(status, positions_missing=self.runner.positions_missing)
        kafka_up = None if stopped else self.kafka_availability.answers
        return msgspec.structs.replace(
            status,
            phase=explained.phase.value,
            phase_because=explained.because,
            kafka_up=False if status.kafka_fault else kafka_up,
            sink_up=False if status.sink_fault else status.sink_up,
            retries=round(CONSUMER_METRICS.get_sample_value("consumer_retries_total") or 0),
            disk_free_bytes=sink.disk_free_bytes,
            records_per_s=self.rates.per_s("records"),
        )

    async def set_gauges(self) -> None:
        """Set the gauges of /metrics to the present values."""
        self.runner.set_gauges(await self.status())


def _fault(failure: OngoingFailure | None) -> Fault | None:
    if failure is None:
        return None
    for_s = max(0.0, time.monotonic() - failure.since)
    what = without_url_secrets(str(failure.error) or repr(failure.error))
    return Fault(what=what, for_s=for_s)
