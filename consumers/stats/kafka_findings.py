"""Find out whether callbacks get to Kafka, and can be read there. No I/O."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from consumers.runtime.status import ConsumerStatus
from consumers.stats.findings import (
    Case,
    Finding,
    Values,
    faulty_since,
    first_reason,
    first_true,
    full_in_s,
    seconds,
    used_percent,
)
from consumers.stats.process_statuses import IngressStatus, ProcessStatuses, Replicas, SilentProcess
from schemas.ingress_status import NOT_CONNECTED

# The oldest callback on disk was received so long ago only if Kafka is slow, or if it was down, or
# the ingress was.
SLOW_S = 60.0


def kafka(measured: ProcessStatuses) -> Finding:
    """
    Return whether callbacks get to Kafka.

    The number is the time since the receipt of the oldest callback on disk.
    """
    replicas = Replicas.of(measured.ingress or ())
    consumers = [
        status
        for answers in measured.consumers.values()
        for status in Replicas.of(answers).statuses
    ]
    reads = [
        status for status in consumers if status.partitions is not None and not status.kafka_fault
    ]
    # This process asks Kafka, too: its answer, or why there is none, is known without the others.
    can_be_read = bool(reads or (measured.kafka_facts and measured.kafka_facts.partitions))
    unreached = measured.kafka.because if isinstance(measured.kafka, SilentProcess) else ""
    connects = [status for status in replicas.statuses if status.forward_fault == NOT_CONNECTED]
    ages = [
        status.oldest_waiting_s
        for status in replicas.statuses
        if status.oldest_waiting_s is not None
    ]
    oldest_s = max(ages, default=None)
    # Not since when Kafka fails: meanwhile Kafka may have been slow, or the ingress down.
    waits_since = measured.now - timedelta(seconds=oldest_s) if oldest_s else None
    # Without `since`: it is another callback at each look.
    is_slow = oldest_s is not None and oldest_s > SLOW_S
    cases = (
        *_stuck(replicas, waits_since, measured.now, can_be_read=can_be_read),
        *_unreadable(consumers, measured.now, is_ingress_silent=not replicas.statuses),
        Case(connects, "warning", "kafka_connects"),
        Case(not replicas.statuses and can_be_read, "unknown", "kafka_only_read"),
        Case(
            not replicas.statuses and unreached,
            "unknown",
            "kafka_unreached",
            first_reason([unreached]),
        ),
        Case(not replicas.statuses, "unknown", "kafka_unknown"),
        Case(is_slow, "warning", "kafka_slow", {"age": oldest_s or 0.0}),
        *_denied(measured),
        Case(True, "ok", "kafka_ok"),  # noqa: FBT003 - always
    )
    return first_true("kafka", cases, seconds(oldest_s))


def _stuck(
    replicas: Replicas[IngressStatus],
    waits_since: datetime | None,
    now: datetime,
    *,
    can_be_read: bool,
) -> Iterator[Case]:
    """Yield the cases of replicas that cannot write to Kafka."""
    stuck = [
        status for status in replicas.statuses if status.forward_fault not in ("", NOT_CONNECTED)
    ]
    ages = [one.forward_fault_for_s for one in stuck if one.forward_fault_for_s is not None]
    # Replicas of release 0.1 do not report it.
    since = now - timedelta(seconds=max(ages)) if ages else waits_since
    all_stuck = stuck and len(stuck) == len(replicas.statuses)
    reason = first_reason(status.forward_fault for status in stuck)
    used: Values = {"percent": used_percent(replicas.statuses), **reason}
    # The other texts say that nothing is lost: a full spool refuses callbacks.
    is_any_unready = any(status.unready_because for status in replicas.statuses)
    yield Case(all_stuck and is_any_unready, "wrong", "kafka_not_written_unready", reason, since)
    room_s = full_in_s(replicas.statuses)
    if room_s is not None and not can_be_read:
        yield Case(all_stuck, "wrong", "kafka_away_fills", {"room": room_s, **reason}, since)
    yield Case(all_stuck and not can_be_read, "wrong", "kafka_away", used, since)
    yield Case(all_stuck, "wrong", "kafka_not_written", used, since)
    some: Values = {"affected": len(stuck), "all": replicas.count, **reason}
    yield Case(stuck, "warning", "kafka_some_stuck", some, since)


def _unreadable(
    consumers: Sequence[ConsumerStatus], now: datetime, *, is_ingress_silent: bool
) -> Iterator[Case]:
    """Yield the cases of consumers that cannot read from Kafka."""
    cannot_read = [status for status in consumers if status.kafka_fault]
    since = faulty_since(now, (status.kafka_fault for status in consumers))
    none_reads = cannot_read and len(cannot_read) == len(consumers)
    reason = first_reason(one.kafka_fault.what for one in cannot_read if one.kafka_fault)
    yield Case(is_ingress_silent and none_reads, "wrong", "kafka_unreadable", reason, since)
    some: Values = {"affected": len(cannot_read), "all": len(consumers), **reason}
    yield Case(cannot_read, "warning", "kafka_some_unreadable", some, since)


def _denied(measured: ProcessStatuses) -> Iterator[Case]:
    """Yield the case of a process that asks Kafka for its state, and lacks a right for a part."""
    if (facts := measured.kafka_facts) and facts.denials:
        yield Case(facts.denials, "warning", "kafka_not_asked", first_reason(facts.denials))
