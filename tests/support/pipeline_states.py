"""Made-up answers of the processes of a pipeline, and the state that each of them means."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from consumers.runtime.status import ConsumerStatus, Fault
from consumers.stats.dead_letter_counts import Cause, DeadLetters
from consumers.stats.health import Timeline, find, health
from consumers.stats.health_answers import Health, Stage
from consumers.stats.kafka_facts import KafkaFacts
from consumers.stats.process_statuses import (
    IngressStatus,
    ProcessStatuses,
    Readiness,
    SilentProcess,
)
from schemas.ingress_status import NOT_CONNECTED, STOPPING, SpoolSummary

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 28, 6, 42, tzinfo=UTC)
AT_14_02 = datetime(2026, 11, 28, 6, 2, tzinfo=UTC)
SINCE_14_02 = Fault(what="by the test", for_s=40 * 60.0)
DAY_S = 86400.0


def an_ingress(**fields: Any) -> IngressStatus:
    """Return the status of an ingress that is well, but for `fields`."""
    well: dict[str, Any] = {
        "unready_because": "",
        "forward_fault": "",
        "tokens_fault": "",
        "oldest_waiting_s": 0.1,
        "spool_rows": 3,
        "spool_bytes": 100,
        "spool_bytes_max": 10_000,
        "spool_full_in_s": None,
        "spools": (),
    }
    return IngressStatus(**well | fields)


def a_consumer(**fields: Any) -> ConsumerStatus:
    """
    Return the status of a consumer that is well, but for `fields`.

    The callback that waits was received just before Kafka wrote it, unless `oldest_in_kafka_s` is
    given.
    """
    well: dict[str, Any] = {
        "name": "any",
        "uptime_s": 1000.0,
        "partitions": 6,
        "partitions_backing_off": 0,
        "lag_offsets": 0,
        "oldest_waiting_s": 0.2,
        "batch_age_s": 1.0,
        "rejected_lately": 0,
        "stopped": None,
        "kafka_fault": None,
        "sink_fault": None,
    }
    well["oldest_in_kafka_s"] = fields.get("oldest_waiting_s", well["oldest_waiting_s"])
    return ConsumerStatus(**well | fields)


SILENT = SilentProcess(AT_14_02)
FULL: dict[str, Any] = {"unready_because": "the spool was full", "spool_bytes": 9600}
INGRESSES = [an_ingress(), an_ingress()]
CONSUMERS = {name: [a_consumer()] for name in ("archive", "sync", "counters")}
BRAKED = a_consumer(stopped=SINCE_14_02, partitions=None, oldest_waiting_s=None, lag_offsets=None)
HANGING = a_consumer(hang=SINCE_14_02)
AWAY = a_consumer(kafka_fault=SINCE_14_02, partitions=None, oldest_waiting_s=None)
JOINING = a_consumer(partitions=None, oldest_waiting_s=None, uptime_s=3.0)


def measured(
    ingress: Any = INGRESSES, *, valkey: SilentProcess | None = None, **consumers: Any
) -> ProcessStatuses:
    """Return the answers of a pipeline that is well, but for the arguments."""
    return ProcessStatuses(now=NOW, ingress=ingress, consumers=CONSUMERS | consumers, valkey=valkey)


WELL = measured()
LAGGING = measured(sync=[a_consumer(oldest_waiting_s=41.2)])
# Two of three replicas have a full spool, and PostgreSQL does not answer.
SOME_WRONG = measured(
    [an_ingress(), *[an_ingress(**FULL, spool_rows=24_056)] * 2],
    sync=[a_consumer(sink_fault=Fault(what="by the test", for_s=302.0), oldest_waiting_s=301.4)],
)
REJECTED = (
    "Kafka at kafka-1.example.com:9093, kafka-2.example.com:9093, kafka-3.example.com:9093 cannot "
    'be used: the broker rejects the credentials ("Authentication failed during authentication due '
    "to invalid credentials with SASL mechanism SCRAM-SHA-512\"); check the user 'hookline' in "
    "HOOKLINE_KAFKA_USER_FILE and the password in HOOKLINE_KAFKA_PASSWORD_FILE"
)
DENIED = (
    'Kafka does not authorize "User:hookline-statistics" for the topic "tim.callbacks.dead.v1"; '
    "give it the rights of its service (docs/acls.md)"
)
# The ingress and sync have a wrong password, and the statistics lack a right.
WITHOUT_ACCESS = replace(
    measured(
        [an_ingress(forward_fault=REJECTED, oldest_waiting_s=2400.0)] * 2,
        sync=[a_consumer(kafka_fault=Fault(what=REJECTED, for_s=2400.0), partitions=None)],
    ),
    kafka=SilentProcess(because=DENIED),
)


def stated(what: ProcessStatuses) -> Health:
    """Return the state in words, for a first look at the pipeline."""
    timeline = Timeline()
    findings = find(what)
    for finding in findings:
        timeline.note(finding, what.now)
    return health(findings, timeline, what.now, ZONE)


def stage(name: str, what: ProcessStatuses) -> Stage:
    """Return one stage of it."""
    return next(stage for stage in stated(what).stages if stage.stage == name)


def with_one(**fields: Any) -> ProcessStatuses:
    """Return the answers with one replica of two that has `fields`."""
    return measured([an_ingress(), an_ingress(**fields)])


def with_all(**fields: Any) -> ProcessStatuses:
    """Return the answers with two replicas that have `fields`."""
    return measured([an_ingress(**fields), an_ingress(**fields)])


def with_kafka(**fields: Any) -> ProcessStatuses:
    """Return the answers with one of Kafka that has `fields`."""
    well: dict[str, Any] = {
        "partitions": 6,
        "retention_s": 7 * DAY_S,
        "callbacks_per_day": 1000.0,
        "dead_letters": DeadLetters(),
    }
    return replace(WELL, kafka=KafkaFacts(**well | fields))


def with_kafka_and(
    *,
    retention_s: float = 7 * DAY_S,
    unread_since: Mapping[str, datetime | None] = MappingProxyType({}),
    may_be_unread_longer: Collection[str] = (),
    **consumers: Any,
) -> ProcessStatuses:
    """Return the answers of a pipeline with those of Kafka, but for the arguments."""
    what = with_kafka(
        retention_s=retention_s,
        unread_since=unread_since,
        may_be_unread_longer=may_be_unread_longer,
    )
    return replace(what, consumers={**what.consumers, **consumers})


def with_dead_letters(age: timedelta, recent: int) -> ProcessStatuses:
    """Return the answers with three dead letters, of which the last one has this age."""
    counts = {Cause("sync", "DataError"): 2, Cause("ingress", "NotJson"): 1}
    return with_kafka(dead_letters=DeadLetters(counts=counts, recent=recent, newest_at=NOW - age))


# Kafka was away until the spools were full.
FULL_WITHOUT_KAFKA = with_all(**FULL, forward_fault=REJECTED, forward_fault_for_s=2400.0)
# The time was over before the newest dead letters were read, or any.
NO_DEAD_LETTER_READ = with_kafka(dead_letters=DeadLetters(recent=None, is_complete=False))
SOME_DEAD_LETTERS_READ = with_kafka(
    dead_letters=DeadLetters(counts={Cause("sync", "DataError"): 2}, recent=None, is_complete=False)
)

# All of the last 5,000 offsets were read, and there are older ones.
NEWEST_DEAD_LETTERS_READ = with_kafka(dead_letters=DeadLetters(is_complete=False))

# The text, its stage and state, and the answers that lead to it: each text of TEXTS once.
CASES: list[tuple[str, str, str, ProcessStatuses]] = [
    ("ingress_not_watched", "receiving", "unknown", measured(None)),
    ("receiving_ok", "receiving", "ok", measured()),
    ("receiving_silent", "receiving", "wrong", measured([SILENT, SILENT])),
    ("receiving_full", "receiving", "wrong", with_all(**FULL)),
    ("receiving_stopping", "receiving", "wrong", with_all(unready_because=STOPPING)),
    ("receiving_disk_fails", "receiving", "wrong", with_all(unready_because="I/O error")),
    ("receiving_some_unready", "receiving", "warning", with_one(**FULL)),
    ("receiving_some_silent", "receiving", "warning", measured([an_ingress(), SILENT])),
    ("receiving_secrets", "receiving", "warning", with_one(tokens_fault="not JSON")),
    ("receiving_unsigned", "receiving", "warning", with_one(apps_not_in_tokens_file=("7",))),
    ("disk_ok", "on_disk", "ok", measured()),
    ("disk_unknown", "on_disk", "unknown", measured([SILENT])),
    ("disk_full", "on_disk", "wrong", with_one(**FULL)),
    ("disk_fails", "on_disk", "wrong", with_one(unready_because="I/O error")),
    ("disk_filling_fast", "on_disk", "warning", with_one(spool_full_in_s=600.0)),
    ("disk_filling", "on_disk", "warning", with_one(spool_bytes=5000)),
    (
        "disk_damaged",
        "on_disk",
        "warning",
        with_one(spools=(SpoolSummary(name="a", origin="a", quarantined=(7,)),)),
    ),
    ("disk_row", "on_disk", "warning", with_one(oldest_waiting_s=None)),
    ("disk_partly_unknown", "on_disk", "warning", measured([an_ingress(), SILENT])),
    ("kafka_ok", "kafka", "ok", measured()),
    (
        "kafka_away",
        "kafka",
        "wrong",
        ProcessStatuses(
            now=NOW,
            ingress=[an_ingress(forward_fault=SINCE_14_02.what, oldest_waiting_s=2400.0)],
            consumers={name: [AWAY] for name in CONSUMERS},
        ),
    ),
    (
        "kafka_away_fills",
        "kafka",
        "wrong",
        ProcessStatuses(
            now=NOW,
            ingress=[
                an_ingress(
                    forward_fault=SINCE_14_02.what, oldest_waiting_s=2400.0, spool_full_in_s=1e5
                )
            ],
        ),
    ),
    ("kafka_not_written", "kafka", "wrong", with_all(forward_fault=SINCE_14_02.what)),
    ("kafka_not_written_unready", "kafka", "wrong", FULL_WITHOUT_KAFKA),
    ("kafka_some_stuck", "kafka", "warning", with_one(forward_fault=SINCE_14_02.what)),
    ("kafka_connects", "kafka", "warning", with_one(forward_fault=NOT_CONNECTED)),
    (
        "kafka_unreadable",
        "kafka",
        "wrong",
        ProcessStatuses(now=NOW, ingress=[SILENT], consumers={"sync": [AWAY]}),
    ),
    ("kafka_some_unreadable", "kafka", "warning", measured(sync=[AWAY])),
    ("kafka_only_read", "kafka", "unknown", measured([SILENT])),
    (
        "kafka_unreached",
        "kafka",
        "unknown",
        ProcessStatuses(now=NOW, ingress=None, kafka=SilentProcess(because=DENIED)),
    ),
    ("kafka_unknown", "kafka", "unknown", ProcessStatuses(now=NOW, ingress=[SILENT])),
    ("kafka_not_asked", "kafka", "warning", with_kafka(denials=[DENIED])),
    ("kafka_slow", "kafka", "warning", with_one(oldest_waiting_s=2400.0)),
    ("sink_not_watched", "database", "unknown", ProcessStatuses(now=NOW, ingress=INGRESSES)),
    ("sink_ok", "archive", "ok", measured()),
    ("sink_silent", "database", "wrong", measured(sync=[SILENT, SILENT])),
    (
        "sink_target_unknown",
        "webhook",
        "wrong",
        measured(webhook=[a_consumer(name="webhook-crm"), SilentProcess()]),
    ),
    ("sink_stopped", "database", "wrong", measured(sync=[BRAKED])),
    ("sink_hangs", "database", "wrong", measured(sync=[a_consumer(), HANGING])),
    ("sink_fails", "database", "wrong", measured(sync=[a_consumer(sink_fault=SINCE_14_02)])),
    ("sink_late", "archive", "wrong", measured(archive=[a_consumer(oldest_waiting_s=6 * DAY_S)])),
    ("sink_without_kafka", "counts", "unknown", measured(counters=[AWAY])),
    ("sink_joins", "counts", "warning", measured(counters=[JOINING])),
    (
        "sink_without_partitions",
        "counts",
        "wrong",
        measured(counters=[a_consumer(partitions=0, oldest_waiting_s=0.0)]),
    ),
    ("sink_lags", "database", "warning", measured(sync=[a_consumer(oldest_waiting_s=40.0)])),
    ("sink_some_stopped", "database", "warning", measured(sync=[a_consumer(), BRAKED])),
    ("sink_some_silent", "database", "warning", measured(sync=[a_consumer(), SILENT])),
    ("sink_lag_unknown", "database", "unknown", measured(sync=[a_consumer(oldest_waiting_s=None)])),
    ("sink_rejects", "database", "warning", measured(sync=[a_consumer(rejected_lately=3)])),
    ("disk_short", "on_disk", "warning", with_one(spool_disk_free_bytes=9000)),
    ("sink_disk_short", "archive", "warning", measured(archive=[a_consumer(disk_free_bytes=9000)])),
    ("gateway_ok", "gateway", "ok", replace(WELL, gateway=Readiness(is_ready=True, text=""))),
    ("gateway_silent", "gateway", "wrong", replace(WELL, gateway=SILENT)),
    (
        "gateway_unready",
        "gateway",
        "wrong",
        replace(WELL, gateway=Readiness(is_ready=False, text="")),
    ),
    ("dead_letters_ok", "dead_letters", "ok", with_kafka()),
    ("dead_letters_newest_ok", "dead_letters", "ok", NEWEST_DEAD_LETTERS_READ),
    ("dead_letters_wait", "dead_letters", "warning", with_dead_letters(timedelta(days=3), 0)),
    ("dead_letters_wait_partly_read", "dead_letters", "warning", SOME_DEAD_LETTERS_READ),
    ("dead_letters_partly_read", "dead_letters", "unknown", NO_DEAD_LETTER_READ),
    (
        "dead_letters_unknown",
        "dead_letters",
        "unknown",
        replace(WELL, kafka=SilentProcess(because=DENIED)),
    ),
    (
        "statistics_ok",
        "statistics",
        "ok",
        replace(WELL, statistics=Readiness(is_ready=True, text="")),
    ),
    ("statistics_silent", "statistics", "warning", replace(WELL, statistics=SILENT)),
    (
        "statistics_unready",
        "statistics",
        "warning",
        replace(WELL, statistics=Readiness(is_ready=False, text="")),
    ),
    ("counts_unreadable", "counts", "wrong", measured(valkey=SILENT)),
]
