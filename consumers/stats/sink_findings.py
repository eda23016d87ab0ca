"""Find out what is wrong with a sink: its consumer's processes, and what they say of it. No I/O."""

from datetime import datetime, timedelta

from consumers.stats.answers import StageName
from consumers.stats.findings import Case, Finding, faulty_since, first_true, seconds
from consumers.stats.measured import Measured, Replicas
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


def sink(name: str, measured: Measured) -> Finding:
    """Return the state of a consumer's sink; the number is the age of the oldest callback."""
    now = measured.now
    replicas = Replicas.of(measured.consumers.get(name, ()))
    said = replicas.said
    members = [one for one in said if one.partitions]
    stopped = [one for one in said if one.stopped]
    no_kafka = [one for one in said if one.kafka_fault]
    failing = [one for one in said if one.sink_fault]
    ages = [one.oldest_waiting_s for one in members if one.oldest_waiting_s is not None]
    # One age that is not known leaves the oldest one unknown.
    oldest_s = max(ages) if ages and len(ages) == len(members) else None
    over_s = (oldest_s or 0.0) - max((one.batch_age_s for one in said), default=0.0)
    since_stopped = faulty_since(now, (one.stopped for one in said))
    since_failing = faulty_since(now, (one.sink_fault for one in said))
    since_no_kafka = faulty_since(now, (one.kafka_fault for one in said))
    valkey = measured.valkey if name == "counters" and not failing else None
    lagging_since = now - timedelta(seconds=oldest_s or 0.0)
    rejected = sum(one.rejected_lately for one in said)
    joins = max((one.uptime_s for one in said), default=0.0) < JOINS_S
    some_stopped = {"affected": len(stopped), "all": replicas.count}
    some_silent = {"affected": len(replicas.silent), "all": replicas.count}

    def room(since: datetime | None) -> dict[str, str | int | float]:
        waiting_s = max(oldest_s or 0.0, (now - since).total_seconds() if since else 0.0)
        return {"room": max(0.0, KEPT_S - waiting_s)}

    cases = (
        Case(valkey, "wrong", "counts_unreadable", since=valkey.since if valkey else None),
        Case(name not in measured.consumers, "unknown", "sink_not_watched"),
        Case(not said, "wrong", "sink_silent", room(replicas.silent_since), replicas.silent_since),
        Case(
            stopped and len(stopped) == len(said),
            "wrong",
            "sink_stopped",
            room(since_stopped),
            since_stopped,
        ),
        Case(failing, "wrong", "sink_fails", room(since_failing), since_failing),
        Case(
            oldest_s is not None and oldest_s > LATE_SHARE * KEPT_S,
            "wrong",
            "sink_late",
            room(None),
            lagging_since,
        ),
        Case(
            (no_kafka and not members) or len(no_kafka) == len(said),
            "unknown",
            "sink_without_kafka",
            since=since_no_kafka,
        ),
        Case(not members and joins, "warning", "sink_joins"),
        Case(not members, "wrong", "sink_without_partitions", room(None)),
        Case(over_s > LAGS_FAR_S, "wrong", "sink_lags", room(None), lagging_since),
        Case(over_s > LAGS_S, "warning", "sink_lags", room(None), lagging_since),
        Case(stopped, "warning", "sink_some_stopped", some_stopped, since_stopped),
        Case(
            replicas.silent,
            "warning",
            "sink_some_silent",
            some_silent,
            replicas.silent_since,
        ),
        Case(oldest_s is None, "unknown", "sink_lag_unknown"),
        Case(rejected, "warning", "sink_rejects", {"affected": rejected}),
        Case(True, "ok", "sink_ok"),  # noqa: FBT003 - always
    )
    return first_true(STAGES[name], cases, seconds(oldest_s))
