"""Find out what is wrong with a sink: its consumer's processes, and what they say of it. No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from consumers.runtime.status import ConsumerStatus
from consumers.stats.dead_letter_counts import OTHER
from consumers.stats.findings import (
    DISK_FREE_BYTES_MIN,
    Case,
    Finding,
    Values,
    faulty_since,
    first_reason,
    first_true,
    seconds,
)
from consumers.stats.health_answers import StageName, State
from consumers.stats.process_statuses import ProcessStatuses
from consumers.stats.sink import Sink, sinks
from consumers.stats.sizes import size_text

# The stage of each consumer.
STAGES: dict[str, StageName] = {
    "archive": "archive",
    "sync": "database",
    "counters": "counts",
    "webhook": "webhook",
}
# A sink lags if it is so much later than the age of its batches; above the second, it is wrong.
LAGS_S = 30.0
LAGS_FAR_S = 300.0
# A group has its partitions after this time, also if a member was killed.
JOINS_S = 60.0
# The share of the retention after which records may soon be deleted.
LATE_SHARE = 0.8
# The worst state last.
_STATES: Sequence[State] = ("ok", "unknown", "warning", "wrong")


def sink(name: str, measured: ProcessStatuses) -> Finding:
    """
    Return the state of a consumer's sink; the number is its lag.

    The lag is the time in Kafka: a callback that waited on an ingress's disk has made no consumer
    late. Each target of a webhook is a sink; the state is that of the worst one.
    """
    found = [_one_sink(one) for one in sinks(name, measured)]
    return max(found, key=_severity)


def _severity(finding: Finding) -> tuple[int, float]:
    """Return a number by which the worst finding is the largest; of equals, the largest lag."""
    return _STATES.index(finding.state), finding.amount.number if finding.amount else 0.0


def _one_sink(of: Sink) -> Finding:
    """Return the state of one sink."""
    statuses, count = of.replicas.statuses, of.replicas.count
    stopped = [one for one in statuses if one.stopped]
    rejected = _rejected(of)
    some_stopped = {"affected": len(stopped), "all": count, **_reason(stopped)}
    some_silent = {"affected": len(of.replicas.unanswered), "all": count}
    stopped_since = faulty_since(of.now, (one.stopped for one in statuses))
    silent_since = of.replicas.silent_since
    cases = (
        *_unusable(of),
        *_without_partitions(of),
        *_lagging(of),
        Case(stopped, "warning", "sink_some_stopped", some_stopped, stopped_since),
        Case(of.replicas.unanswered, "warning", "sink_some_silent", some_silent, silent_since),
        Case(of.in_kafka_s is None, "unknown", "sink_lag_unknown", of.kafka_values()),
        Case(rejected, "warning", "sink_rejects", {"affected": rejected}),
        *_short_disks(statuses),
        Case(True, "ok", "sink_ok"),  # noqa: FBT003 - always
    )
    found = first_true(STAGES[of.name], cases, seconds(of.in_kafka_s))
    return replace(found, consumer=of.group)


def _unusable(of: Sink) -> Iterator[Case]:
    """Yield the cases in which nothing is stored in the sink, or it cannot be known."""
    now, statuses, valkey = of.now, of.replicas.statuses, of.measured.valkey
    failing = [one for one in statuses if one.sink_fault]
    stopped = [one for one in statuses if one.stopped]
    if of.name == "counters" and valkey and not failing:
        yield Case(
            valkey, "wrong", "counts_unreadable", of.kafka_values(valkey.since), valkey.since
        )
    yield Case(of.name not in of.measured.consumers, "unknown", "sink_not_watched")
    since = of.replicas.silent_since
    all_count = len(of.measured.consumers.get(of.name, ()))
    values = {"affected": of.replicas.count, "all": all_count, **of.kafka_values(since)}
    has_others = of.replicas.count < all_count
    is_target_unknown = not statuses and not of.is_group_known and has_others
    yield Case(is_target_unknown, "wrong", "sink_target_unknown", values, since)
    yield Case(not statuses, "wrong", "sink_silent", of.kafka_values(since), since)
    since = faulty_since(now, (one.stopped for one in statuses))
    all_stopped = stopped and len(stopped) == len(statuses)
    values = {**of.kafka_values(since), **_reason(stopped)}
    yield Case(all_stopped, "wrong", "sink_stopped", values, since)
    hanging = [one for one in statuses if one.hang]
    reason = first_reason(one.hang.what for one in hanging if one.hang)
    since = faulty_since(now, (one.hang for one in statuses))
    values = {
        "affected": len(hanging),
        "all": of.replicas.count,
        **reason,
        **of.kafka_values(since),
    }
    yield Case(hanging, "wrong", "sink_hangs", values, since)
    since = faulty_since(now, (one.sink_fault for one in statuses))
    yield Case(failing, "wrong", "sink_fails", of.kafka_values(since), since)
    is_late = (of.oldest_record_s or 0.0) > LATE_SHARE * of.kept_s
    yield Case(is_late, "wrong", "sink_late", of.kafka_values())


def _without_partitions(of: Sink) -> Iterator[Case]:
    """Yield the cases in which no process can read from Kafka, or none has a partition."""
    statuses = of.replicas.statuses
    no_kafka = [one for one in statuses if one.kafka_fault]
    is_unread = (no_kafka and not of.members) or len(no_kafka) == len(statuses)
    since = faulty_since(of.now, (one.kafka_fault for one in statuses))
    reason = first_reason(one.kafka_fault.what for one in no_kafka if one.kafka_fault)
    yield Case(is_unread, "unknown", "sink_without_kafka", reason, since)
    joins = max((one.uptime_s for one in statuses), default=0.0) < JOINS_S
    yield Case(not of.members and joins, "warning", "sink_joins")
    yield Case(not of.members, "wrong", "sink_without_partitions", of.kafka_values())


def _lagging(of: Sink) -> Iterator[Case]:
    """Yield the cases in which the oldest record waits in Kafka for longer than a batch takes."""
    batch_s = max((one.batch_age_s for one in of.replicas.statuses), default=0.0)
    over_s = (of.in_kafka_s or 0.0) - batch_s
    # Without `since`: the consumer may have lagged before this record was written.
    values = {"age": of.in_kafka_s or 0.0, **of.kafka_values()}
    yield Case(over_s > LAGS_FAR_S, "wrong", "sink_lags", values)
    yield Case(over_s > LAGS_S, "warning", "sink_lags", values)


def _rejected(of: Sink) -> int:
    """
    Return how many of the last records were rejected, 0 if no counted dead letter is of them.

    The processes know what they rejected, but not what was sent again or dropped since. Dead
    letters of the last records are among the newest, so older ones need not be counted.
    """
    facts = of.measured.kafka_facts
    dead = facts.dead_letters if facts else ""
    if not isinstance(dead, str) and dead.has_newest:
        waiting = {cause.component for cause in dead.counts}
        if not waiting & {of.group, OTHER}:
            return 0
    return sum(one.rejected_lately for one in of.replicas.statuses)


def _short_disks(statuses: Sequence[ConsumerStatus]) -> Iterator[Case]:
    """Yield the case of an archive whose disk is nearly full."""
    free = min(
        (one.disk_free_bytes for one in statuses if one.disk_free_bytes is not None), default=None
    )
    if free is not None and free < DISK_FREE_BYTES_MIN:
        yield Case(
            when=True, state="warning", text="sink_disk_short", values={"free": size_text(free)}
        )


def _reason(stopped: Sequence[ConsumerStatus]) -> Values:
    """Return why the first of these processes has stopped."""
    return first_reason(one.stopped.what for one in stopped if one.stopped)
