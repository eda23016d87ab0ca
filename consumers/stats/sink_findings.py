"""Find out what is wrong with a sink: its consumer's processes, and what they say of it. No I/O."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from consumers.runtime.status import ConsumerStatus
from consumers.stats.answers import StageName
from consumers.stats.findings import Case, Finding, Values, faulty_since, first_true, seconds
from consumers.stats.process_statuses import ProcessStatuses, Replicas
from schemas.topics import CALLBACKS

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
# Kafka's retention, and the share of it after which records may soon be deleted.
KEPT_S = CALLBACKS.retention_days * 86400.0
LATE_SHARE = 0.8


def sink(name: str, measured: ProcessStatuses) -> Finding:
    """Return the state of a consumer's sink; the number is the age of the oldest callback."""
    now = measured.now
    replicas = Replicas.of(measured.consumers.get(name, ()))
    statuses = replicas.statuses
    members = [status for status in statuses if status.partitions]
    stopped = [status for status in statuses if status.stopped]
    oldest_s = _oldest_s(members)
    rejected = sum(status.rejected_lately for status in statuses)
    some_stopped = {"affected": len(stopped), "all": replicas.count}
    some_silent = {"affected": len(replicas.unanswered), "all": replicas.count}
    stopped_since = faulty_since(now, (status.stopped for status in statuses))
    cases = (
        *_unusable(name, measured, replicas, oldest_s),
        *_without_partitions(statuses, members, now, _room(now, oldest_s)),
        *_lagging(statuses, now, oldest_s),
        Case(stopped, "warning", "sink_some_stopped", some_stopped, stopped_since),
        Case(
            replicas.unanswered, "warning", "sink_some_silent", some_silent, replicas.silent_since
        ),
        Case(oldest_s is None, "unknown", "sink_lag_unknown"),
        Case(rejected, "warning", "sink_rejects", {"affected": rejected}),
        Case(True, "ok", "sink_ok"),  # noqa: FBT003 - always
    )
    return first_true(STAGES[name], cases, seconds(oldest_s))


def _unusable(
    name: str, measured: ProcessStatuses, replicas: Replicas[ConsumerStatus], oldest_s: float | None
) -> Iterator[Case]:
    """Yield the cases in which nothing is stored in the sink, or it cannot be known."""
    now, statuses = measured.now, replicas.statuses
    failing = [status for status in statuses if status.sink_fault]
    stopped = [status for status in statuses if status.stopped]
    if name == "counters" and measured.valkey and not failing:
        yield Case(measured.valkey, "wrong", "counts_unreadable", since=measured.valkey.since)
    yield Case(name not in measured.consumers, "unknown", "sink_not_watched")
    since = replicas.silent_since
    yield Case(not statuses, "wrong", "sink_silent", _room(now, oldest_s, since), since)
    since = faulty_since(now, (status.stopped for status in statuses))
    all_stopped = stopped and len(stopped) == len(statuses)
    yield Case(all_stopped, "wrong", "sink_stopped", _room(now, oldest_s, since), since)
    since = faulty_since(now, (status.sink_fault for status in statuses))
    yield Case(failing, "wrong", "sink_fails", _room(now, oldest_s, since), since)
    is_late = oldest_s is not None and oldest_s > LATE_SHARE * KEPT_S
    since = now - timedelta(seconds=oldest_s or 0.0)
    yield Case(is_late, "wrong", "sink_late", _room(now, oldest_s), since)


def _without_partitions(
    statuses: Sequence[ConsumerStatus],
    members: Sequence[ConsumerStatus],
    now: datetime,
    room: Values,
) -> Iterator[Case]:
    """Yield the cases in which no process can read from Kafka, or none has a partition."""
    no_kafka = [status for status in statuses if status.kafka_fault]
    is_unread = (no_kafka and not members) or len(no_kafka) == len(statuses)
    since = faulty_since(now, (status.kafka_fault for status in statuses))
    yield Case(is_unread, "unknown", "sink_without_kafka", since=since)
    joins = max((status.uptime_s for status in statuses), default=0.0) < JOINS_S
    yield Case(not members and joins, "warning", "sink_joins")
    yield Case(not members, "wrong", "sink_without_partitions", room)


def _lagging(
    statuses: Sequence[ConsumerStatus], now: datetime, oldest_s: float | None
) -> Iterator[Case]:
    """Yield the cases in which the oldest callback waits for longer than a batch takes."""
    room = _room(now, oldest_s)
    over_s = (oldest_s or 0.0) - max((status.batch_age_s for status in statuses), default=0.0)
    since = now - timedelta(seconds=oldest_s or 0.0)
    yield Case(over_s > LAGS_FAR_S, "wrong", "sink_lags", room, since)
    yield Case(over_s > LAGS_S, "warning", "sink_lags", room, since)


def _oldest_s(members: Sequence[ConsumerStatus]) -> float | None:
    """Return the age of the oldest callback; one age that is not known leaves it unknown."""
    ages = [status.oldest_waiting_s for status in members if status.oldest_waiting_s is not None]
    return max(ages) if ages and len(ages) == len(members) else None


def _room(now: datetime, oldest_s: float | None, since: datetime | None = None) -> Values:
    """Return for how long Kafka still keeps what waits, if it waits since `since` or longer."""
    waiting_s = max(oldest_s or 0.0, (now - since).total_seconds() if since else 0.0)
    return {"room": max(0.0, KEPT_S - waiting_s)}
