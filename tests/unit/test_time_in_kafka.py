"""The lag of a sink is the time in Kafka: a callback may have waited on a disk before."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from support.kafka.access import plaintext
from support.pipeline_states import (
    BRAKED,
    DAY_S,
    NOW,
    SILENT,
    ZONE,
    a_consumer,
    measured,
    stage,
    stated,
    with_kafka,
    with_kafka_and,
)

from consumers.runtime.status import ConsumerStatus, Fault
from consumers.stats.health import Timeline, find, health
from consumers.stats.process_statuses import ProcessStatuses, SilentProcess
from ops.status.build import build
from ops.status.details import stage_details
from ops.status.report import ConsumerReport, Report


def database(*sync: ConsumerStatus, unread_s: float | None = None) -> ProcessStatuses:
    """Return answers with processes of sync, and how old the first unread record is in Kafka."""
    unread_since = {} if unread_s is None else {"sync": NOW - timedelta(seconds=unread_s)}
    kafka = with_kafka(retention_s=2 * DAY_S, unread_since=unread_since)
    # The name is that of the group, by which Kafka is asked.
    named = [msgspec.structs.replace(one, name="sync") for one in sync]
    return replace(kafka, consumers={**kafka.consumers, "sync": named})


def full_report(what: ProcessStatuses) -> Report:
    """Return the report of `hookline status`."""
    addressed = replace(
        what,
        ingress_addresses=["http://ingress:8081"] * len(what.ingress or ()),
        consumer_addresses={
            name: ["http://any:8082"] * len(each) for name, each in what.consumers.items()
        },
    )
    return build(stated(what), addressed, [], plaintext(""))


def reported(what: ProcessStatuses) -> ConsumerReport:
    """Return what `hookline status` reports of sync."""
    return next(one for one in full_report(what).consumers if one.name == "sync")


@pytest.mark.parametrize("age_s", [600.0, 6 * DAY_S])
def test_a_callback_that_waited_in_a_spool_makes_no_consumer_late(age_s: float) -> None:
    """After an outage of Kafka, or from the spool of an ingress that was down for days."""
    what = database(a_consumer(oldest_waiting_s=age_s, oldest_in_kafka_s=1.0))
    found = stage("database", what)
    assert (found.state, found.number) == ("ok", 1.0)
    assert stated(what).state == "ok"
    report = reported(what)
    assert (report.oldest_waiting_s, report.oldest_in_kafka_s) == (age_s, 1.0)
    assert report.processes[0].oldest_in_kafka_s == 1.0
    assert report.unread_lost_in_s == 2 * DAY_S - 1


def test_kafka_keeps_a_record_for_the_retention_after_it_wrote_it() -> None:
    """However long the callback had waited before."""
    fails = a_consumer(
        sink_fault=Fault(what="x", for_s=60.0), oldest_waiting_s=9 * DAY_S, oldest_in_kafka_s=7200.0
    )
    assert "keeps them for 46 hours more" in stage("database", database(fails)).what.en


def test_a_lag_is_the_age_of_the_record_and_not_the_time_since_the_consumer_lags() -> None:
    """A consumer that is constantly late has another oldest record at each look."""
    timeline = Timeline()
    for minutes in (0, 60, 48 * 60):
        now = NOW + timedelta(minutes=minutes)
        what = replace(database(a_consumer(oldest_waiting_s=90.0)), now=now)
        findings = find(what)
        for finding in findings:
            timeline.note(finding, now)
        found = next(
            one for one in health(findings, timeline, now, ZONE).stages if one.number == 90
        )
        assert (found.state, found.since) == ("warning", None)
        assert "the oldest callback has waited in Kafka for 90 seconds." in found.what.en
        assert "最早的回调已在 Kafka 中等待 90 秒。" in found.what.zh


def test_a_late_consumer_is_wrong_before_kafka_deletes_a_record() -> None:
    """The retention counts from when Kafka wrote the record."""
    late = a_consumer(oldest_waiting_s=9 * DAY_S, oldest_in_kafka_s=1.9 * DAY_S)
    found = stage("database", database(late))
    assert "Kafka may soon delete callbacks that PostgreSQL lacks. Nothing is lost" in found.what.en
    assert "keeps them for 2 hours more" in found.what.en
    assert found.since is None


@pytest.mark.parametrize("in_kafka_s", [2 * DAY_S, 3 * DAY_S])
@pytest.mark.parametrize("is_silent", [False, True])
def test_a_group_that_fell_back_by_the_whole_retention_is_the_most_urgent(
    in_kafka_s: float, *, is_silent: bool
) -> None:
    """Kafka deletes its records now: 0.0 s are left, which is not an unknown time."""
    sync = SILENT if is_silent else a_consumer(oldest_waiting_s=in_kafka_s)
    what = with_kafka_and(
        retention_s=2 * DAY_S,
        unread_since={"sync": NOW - timedelta(seconds=in_kafka_s)},
        sync=[sync],
        archive=[a_consumer(oldest_waiting_s=60.0)],
    )
    report = full_report(what)
    assert next(one for one in report.consumers if one.name == "sync").unread_lost_in_s == 0.0
    assert report.topic is not None
    assert (report.topic.slowest_group, report.topic.unread_lost_in_s) == ("sync", 0.0)
    kafka = next(one for one in report.stages if one.stage == "kafka")
    assert stage_details(kafka, report).endswith("sync may lose unread records now")
    found = stage("database", what)
    assert found.state == "wrong"
    assert "Nothing is lost" not in found.what.en
    assert "so some may be lost for PostgreSQL" in found.what.en
    assert "因此 PostgreSQL 可能已丢失部分回调" in found.what.zh


@pytest.mark.parametrize("kafka", [None, SilentProcess(because="no right")])
def test_a_retention_that_kafka_does_not_say_is_called_the_default(
    kafka: SilentProcess | None,
) -> None:
    """Kafka was not asked, did not answer, or denied it: the topic may have another one."""
    sync = [a_consumer(sink_fault=Fault(what="x", for_s=60.0), oldest_waiting_s=DAY_S)]
    what = replace(measured(sync=sync), kafka=kafka)
    found = stage("database", what)
    assert found.what.en.endswith(
        "Callbacks wait in Kafka, and nothing is lost for 6 days more if the topic has the default "
        "retention of 7 days; its own is not known."
    )
    assert "with a retention of" not in found.what.en
    assert "其实际保留时间未知" in found.what.zh
    assert reported(what).unread_lost_in_s is None
    silent = stage("database", replace(measured(sync=[SilentProcess()]), kafka=kafka))
    assert "A callback is lost only after 7 days there (the default" in silent.what.en


def test_an_age_that_kafka_did_not_say_in_time_is_not_known() -> None:
    """Neither 0.0 s nor the whole retention: records may have waited for days."""
    found = stage("database", with_kafka_and(retention_s=2 * DAY_S, sync=[SilentProcess()]))
    assert (found.state, found.number) == ("wrong", None)
    assert found.what.en.endswith(
        "Callbacks wait in Kafka; how long they have waited is not known. A callback is lost only "
        "after 2 days there (the retention of the topic)."
    )
    assert "已等待多久未知" in found.what.zh


def test_the_start_of_a_silence_is_not_the_age_of_the_unread_records() -> None:
    """The consumer may have lagged before; but what waits for the whole retention may be lost."""
    for silent_s, text in (
        (60.0, "A callback is lost only after 2 days"),
        (2 * DAY_S, "may be lost for"),
    ):
        silent = SilentProcess(NOW - timedelta(seconds=silent_s))
        found = stage("database", with_kafka_and(retention_s=2 * DAY_S, sync=[silent]))
        assert text in found.what.en
        assert "Nothing is lost" not in found.what.en
        stopped = msgspec.structs.replace(BRAKED, stopped=Fault(what="x", for_s=silent_s))
        assert text in stage("database", database(stopped)).what.en


def test_an_age_of_some_partitions_is_one_at_least() -> None:
    """It is shown as no number, but warns of a record that Kafka may soon delete."""
    for age_s, text in (
        (3600.0, "how long they have waited is not known"),
        (2 * DAY_S, "may be lost for"),
    ):
        what = with_kafka_and(
            retention_s=2 * DAY_S,
            unread_since={"sync": NOW - timedelta(seconds=age_s)},
            may_be_unread_longer={"sync"},
            sync=[SilentProcess()],
        )
        found = stage("database", what)
        assert found.number is None
        assert text in found.what.en
        assert reported(what).unread_lost_in_s == (0.0 if age_s == 2 * DAY_S else None)


def test_a_group_that_has_read_all_has_nothing_that_could_be_lost() -> None:
    """However long its process has been silent."""
    silent = SilentProcess(NOW - timedelta(days=1))
    what = with_kafka_and(retention_s=2 * DAY_S, unread_since={"sync": None}, sync=[silent])
    assert "keeps them for 2 days more" in stage("database", what).what.en
    assert stage("database", what).number == 0.0


def test_a_process_of_an_earlier_release_reports_only_the_time_since_receipt() -> None:
    """A record is not in Kafka for longer, so the retention is not overestimated."""
    older = a_consumer(oldest_waiting_s=400.0, oldest_in_kafka_s=None)
    what = database(a_consumer(oldest_waiting_s=9.0, oldest_in_kafka_s=2.0), older)
    assert (stage("database", what).state, stage("database", what).number) == ("wrong", 400.0)
    assert reported(what).processes[1].oldest_in_kafka_s == 400.0


def test_a_consumer_that_was_restarted_while_its_sink_is_down_hides_no_lag() -> None:
    """It knows only since when it has lagged itself; Kafka knows when the record was written."""
    restarted = a_consumer(
        sink_fault=Fault(what="x", for_s=60.0), oldest_waiting_s=60.0, oldest_in_kafka_s=60.0
    )
    what = database(restarted, unread_s=40 * 3600.0)
    assert "keeps them for 8 hours more" in stage("database", what).what.en
    assert reported(what).unread_lost_in_s == 8 * 3600
    starting = a_consumer(oldest_waiting_s=1.0, oldest_in_kafka_s=1.0)
    found = stage("database", database(starting, unread_s=40 * 3600.0))
    assert found.state == "wrong"
    assert "keeps them for 8 hours more" in found.what.en


def test_what_kafka_said_some_seconds_ago_is_no_lag() -> None:
    """Meanwhile the group has read on: its processes say by how much it lags."""
    nothing_waits = database(a_consumer(oldest_waiting_s=0.0, oldest_in_kafka_s=0.0), unread_s=50.0)
    assert (stage("database", nothing_waits).state, reported(nothing_waits).unread_lost_in_s) == (
        "ok",
        None,
    )
    little_waits = database(a_consumer(oldest_waiting_s=1.0, oldest_in_kafka_s=1.0), unread_s=50.0)
    found = stage("database", little_waits)
    assert (found.state, found.number) == ("ok", 1.0)


def test_without_a_member_kafka_says_how_long_the_record_waits() -> None:
    """A process that has stopped, or that does not answer, is no member."""
    for what in (database(BRAKED, unread_s=7200.0), measured(sync=[SILENT])):
        expected = 7200.0 if what.kafka_facts else None
        assert stage("database", what).number == expected
        assert (reported(what).oldest_waiting_s, reported(what).oldest_in_kafka_s) == (
            expected,
            expected,
        )


def test_a_record_is_not_in_kafka_since_the_sink_fails() -> None:
    """It may have come later. Only if Kafka does not say when, it may wait since the failure."""
    fails = a_consumer(sink_fault=Fault(what="x", for_s=40 * 3600.0), oldest_waiting_s=3600.0)
    asked = stage("database", database(fails, unread_s=3600.0))
    assert "keeps them for 47 hours more" in asked.what.en
    assert "keeps them for 8 hours more" in stage("database", database(fails)).what.en
