"""Make the report from the answers of all parts. No I/O."""

from collections.abc import Iterable, Sequence

from consumers.runtime.status import ConsumerStatus
from consumers.stats.dead_letter_counts import DeadLetters
from consumers.stats.health_answers import Health
from consumers.stats.process_statuses import IngressStatus, ProcessStatuses, SilentProcess
from consumers.stats.sink import Sink, sinks, time_in_kafka_s
from consumers.stats.sink_findings import STAGES
from ops.failure import ExitCode
from ops.status.failures_by_sender import failures_by_sender
from ops.status.report import (
    ConsumerReport,
    DeadLetterCount,
    DeadLetterReport,
    IngressReport,
    ProcessReport,
    Report,
    StoreReport,
    TopicReport,
    slowest_consumer,
)
from ops.status.tokens import tokens
from schemas.ingress_status import NOT_CONNECTED
from schemas.kafka_access import KafkaAccess
from schemas.printable import printable
from schemas.topics import CALLBACKS

EXIT_CODES = {
    "ok": ExitCode.OK,
    "warning": ExitCode.WARNING,
    "wrong": ExitCode.WRONG,
}


def build(
    health: Health,
    measured: ProcessStatuses,
    stores: Sequence[StoreReport],
    kafka: KafkaAccess | None,
) -> Report:
    """Return the report of what was measured; `kafka` is the access if it was asked."""
    facts = measured.kafka_facts
    dead_letters = facts.dead_letters if facts else ""
    consumers = [
        _consumer(sink)
        for name in STAGES
        if name in measured.consumers
        for sink in sinks(name, measured)
    ]
    return Report(
        at=measured.now,
        state=health.state,
        exit_code=EXIT_CODES[health.state],
        stages=health.stages,
        ingress=[
            _ingress(address, answer)
            for address, answer in zip(
                measured.ingress_addresses, measured.ingress or (), strict=True
            )
        ],
        topic=_topic(measured, consumers, kafka),
        consumers=consumers,
        dead_letters=None if isinstance(dead_letters, str) else _dead_letters(dead_letters),
        stores=list(stores),
        tokens=tokens(measured),
        failures_by_sender=failures_by_sender(measured),
    )


def _ingress(address: str, status: IngressStatus | SilentProcess) -> IngressReport:
    if isinstance(status, SilentProcess):
        return IngressReport(address=address, answers=False)
    uses = [token.last_used_ago_s for token in status.tokens if token.last_used_ago_s is not None]
    return IngressReport(
        address=address,
        answers=True,
        is_ready=not status.unready_because,
        unready_because=status.unready_because,
        stored_per_s=status.stored_per_s,
        forwarded_per_s=status.forwarded_per_s,
        oldest_waiting_s=_rounded(status.oldest_waiting_s),
        spool_rows=status.spool_rows,
        spool_bytes=status.spool_bytes,
        spool_bytes_max=status.spool_bytes_max,
        spool_full_in_s=status.spool_full_in_s,
        disk_free_bytes=status.spool_disk_free_bytes,
        # Before the first connection it is not known.
        reaches_kafka=None if status.forward_fault == NOT_CONNECTED else not status.forward_fault,
        forward_fault=status.forward_fault,
        forward_failures_of_all_spools=status.forward_failures_of_all_spools,
        tokens_fault=status.tokens_fault,
        token_last_used_ago_s=_rounded(min(uses, default=None)),
        apps_without_token=status.apps_without_token,
        apps_not_in_tokens_file=status.apps_not_in_tokens_file,
    )


def _topic(
    measured: ProcessStatuses, consumers: Sequence[ConsumerReport], kafka: KafkaAccess | None
) -> TopicReport | None:
    if measured.kafka is None or kafka is None:
        return None
    if isinstance(measured.kafka, SilentProcess):
        return TopicReport(
            name=kafka.topic(CALLBACKS.name),
            answers=False,
            not_known_because=printable(measured.kafka.because),
        )
    facts = measured.kafka
    slowest = slowest_consumer(consumers)
    return TopicReport(
        name=kafka.topic(CALLBACKS.name),
        answers=True,
        partitions=facts.partitions,
        retention_s=facts.retention_s,
        callbacks_per_day=facts.callbacks_per_day,
        slowest_group=kafka.group(slowest.name) if slowest else None,
        unread_lost_in_s=slowest.unread_lost_in_s if slowest else None,
    )


def _consumer(sink: Sink) -> ConsumerReport:
    statuses = sink.replicas.statuses
    return ConsumerReport(
        name=sink.group,
        stage=STAGES[sink.name],
        members=len(sink.members),
        oldest_waiting_s=_rounded(sink.since_receipt_s),
        oldest_in_kafka_s=_rounded(sink.in_kafka_s),
        unread_lost_in_s=_rounded(sink.lost_in_s),
        records_per_s=_sum(status.records_per_s for status in statuses),
        retries=_retries(statuses),
        processes=[
            _process(address, answer)
            for address, answer in zip(sink.addresses, sink.answers, strict=True)
        ],
    )


def _process(address: str, status: ConsumerStatus | SilentProcess) -> ProcessReport:
    if isinstance(status, SilentProcess):
        return ProcessReport(address=address, answers=False)
    return ProcessReport(
        address=address,
        answers=True,
        phase=status.phase,
        phase_because=status.phase_because,
        partitions=status.partitions,
        lag_offsets=status.lag_offsets,
        oldest_waiting_s=_rounded(status.oldest_waiting_s),
        oldest_in_kafka_s=_rounded(time_in_kafka_s(status)),
        records_per_s=status.records_per_s,
        retries=status.retries,
        rejected_lately=status.rejected_lately,
        stopped_because=status.stopped.what if status.stopped else None,
        hanging_because=status.hang.what if status.hang else None,
        disk_free_bytes=status.disk_free_bytes,
    )


def _dead_letters(counted: DeadLetters) -> DeadLetterReport:
    return DeadLetterReport(
        total=counted.total,
        recent=counted.recent,
        newest_at=counted.newest_at,
        is_complete=counted.is_complete,
        counts=[
            DeadLetterCount(component=cause.component, reason=cause.reason, count=count)
            for cause, count in counted.counts.items()
        ],
    )


def _retries(statuses: Sequence[ConsumerStatus]) -> int | None:
    known = [status.retries for status in statuses if status.retries is not None]
    return sum(known) if known else None


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def _sum(numbers: Iterable[float | None]) -> float | None:
    """Return the sum of the numbers that are known, None without one."""
    known = [number for number in numbers if number is not None]
    return round(sum(known), 1) if known else None
