"""Find out what is wrong with a sink: its consumer's processes, and what they say of it. No I/O."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumers.runtime.status import ConsumerStatus
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
from consumers.stats.health_answers import StageName
from consumers.stats.process_statuses import ProcessStatuses, Replicas
from consumers.stats.sizes import size_text
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
# The retention if Kafka was not asked, and the share of it after which records may soon be deleted.
KEPT_S = CALLBACKS.retention_days * 86400.0
LATE_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """
    The answers about a consumer's sink. A time is None if it is not known.

    `members` are the processes that have partitions. By them, `since_receipt_s` is the time since
    the receipt of the callback that the sink gets next, and `in_kafka_s` for how long the oldest
    record that is not in the sink has been in Kafka. Without a member, both are `unread_s`: for how
    long the first record that the group has not read has been there, by Kafka, as of some seconds
    ago. Kafka keeps records for `kept_s` after it wrote them.
    """

    name: str
    measured: ProcessStatuses
    replicas: Replicas[ConsumerStatus]
    members: Sequence[ConsumerStatus]
    since_receipt_s: float | None
    in_kafka_s: float | None
    unread_s: float | None
    kept_s: float

    @classmethod
    def of(cls, name: str, measured: ProcessStatuses) -> "Sink":
        """Return the answers about the sink of the consumer `name`."""
        replicas = Replicas.of(measured.consumers.get(name, ()))
        members = [one for one in replicas.statuses if one.partitions]
        group = next((one.name for one in replicas.statuses), name)
        unread_s = _unread_s(group, measured)
        return cls(
            name=name,
            measured=measured,
            replicas=replicas,
            members=members,
            since_receipt_s=_longest(one.oldest_waiting_s for one in members)
            if members
            else unread_s,
            in_kafka_s=_longest(map(in_kafka_s, members)) if members else unread_s,
            unread_s=unread_s,
            kept_s=kept_s(measured),
        )

    @property
    def now(self) -> datetime:
        """The time of the answers."""
        return self.measured.now

    @property
    def oldest_record_s(self) -> float:
        """
        Seconds for which Kafka has had the oldest record that is not in the sink, at least.

        They are 0.0 if there is none, or if nothing is known. A process that has started while its
        sink is down knows only since when it has lagged: then Kafka knows more.
        """
        if self.in_kafka_s == 0.0:
            return 0.0
        return max(self.in_kafka_s or 0.0, self.unread_s or 0.0)

    def room(self, since: datetime | None = None) -> Values:
        """
        Return for how long Kafka still keeps the records that wait.

        If Kafka does not say since when, they may wait since `since`, when a fault began.
        """
        since_s = (self.now - since).total_seconds() if since and not self.unread_s else 0.0
        return {
            "room": max(0.0, self.kept_s - max(self.oldest_record_s, since_s)),
            "kept": self.kept_s,
        }


def in_kafka_s(status: ConsumerStatus) -> float | None:
    """
    Return for how long the oldest record that is not in the sink has been in Kafka.

    A process of release 0.1 does not report it. The time since the receipt is not less.
    """
    known_s = status.oldest_in_kafka_s
    return status.oldest_waiting_s if known_s is None else known_s


def kept_s(measured: ProcessStatuses) -> float:
    """Return for how many seconds Kafka keeps callbacks, KEPT_S if it was not asked."""
    facts = measured.kafka_facts
    return facts.retention_s if facts else KEPT_S


def sink(name: str, measured: ProcessStatuses) -> Finding:
    """
    Return the state of a consumer's sink; the number is its lag.

    The lag is the time in Kafka: a callback that waited on an ingress's disk has made no consumer
    late.
    """
    of = Sink.of(name, measured)
    statuses, count = of.replicas.statuses, of.replicas.count
    stopped = [one for one in statuses if one.stopped]
    rejected = sum(one.rejected_lately for one in statuses)
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
        Case(of.in_kafka_s is None, "unknown", "sink_lag_unknown"),
        Case(rejected, "warning", "sink_rejects", {"affected": rejected}),
        *_short_disks(statuses),
        Case(True, "ok", "sink_ok"),  # noqa: FBT003 - always
    )
    return first_true(STAGES[name], cases, seconds(of.in_kafka_s))


def _unusable(of: Sink) -> Iterator[Case]:
    """Yield the cases in which nothing is stored in the sink, or it cannot be known."""
    now, statuses, valkey = of.now, of.replicas.statuses, of.measured.valkey
    failing = [one for one in statuses if one.sink_fault]
    stopped = [one for one in statuses if one.stopped]
    if of.name == "counters" and valkey and not failing:
        yield Case(valkey, "wrong", "counts_unreadable", since=valkey.since)
    yield Case(of.name not in of.measured.consumers, "unknown", "sink_not_watched")
    since = of.replicas.silent_since
    yield Case(not statuses, "wrong", "sink_silent", of.room(since), since)
    since = faulty_since(now, (one.stopped for one in statuses))
    all_stopped = stopped and len(stopped) == len(statuses)
    values = {**of.room(since), **_reason(stopped)}
    yield Case(all_stopped, "wrong", "sink_stopped", values, since)
    hanging = [one for one in statuses if one.hang]
    reason = first_reason(one.hang.what for one in hanging if one.hang)
    values = {"affected": len(hanging), "all": of.replicas.count, **reason}
    since = faulty_since(now, (one.hang for one in statuses))
    yield Case(hanging, "wrong", "sink_hangs", values, since)
    since = faulty_since(now, (one.sink_fault for one in statuses))
    yield Case(failing, "wrong", "sink_fails", of.room(since), since)
    is_late = of.oldest_record_s > LATE_SHARE * of.kept_s
    since = now - timedelta(seconds=of.oldest_record_s)
    yield Case(is_late, "wrong", "sink_late", of.room(), since)


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
    yield Case(not of.members, "wrong", "sink_without_partitions", of.room())


def _lagging(of: Sink) -> Iterator[Case]:
    """Yield the cases in which the oldest record waits in Kafka for longer than a batch takes."""
    batch_s = max((one.batch_age_s for one in of.replicas.statuses), default=0.0)
    over_s = (of.in_kafka_s or 0.0) - batch_s
    since = of.now - timedelta(seconds=of.in_kafka_s or 0.0)
    yield Case(over_s > LAGS_FAR_S, "wrong", "sink_lags", of.room(), since)
    yield Case(over_s > LAGS_S, "warning", "sink_lags", of.room(), since)


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


def _unread_s(group: str, measured: ProcessStatuses) -> float | None:
    """
    Return for how long Kafka has had the oldest record that a group has not read, 0.0 if none.

    Return None if Kafka does not say it.
    """
    facts = measured.kafka_facts
    if facts is None or group not in facts.unread_since:
        return None
    since = facts.unread_since[group]
    return max(0.0, (measured.now - since).total_seconds()) if since else 0.0


def _longest(times_s: Iterable[float | None]) -> float | None:
    """Return the longest time, None if one is not known: it may be the longest."""
    times_s = list(times_s)
    known = [time_s for time_s in times_s if time_s is not None]
    return max(known, default=None) if len(known) == len(times_s) else None
