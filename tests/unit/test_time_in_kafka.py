"""The lag of a sink is the time in Kafka: a callback may have waited on a disk before."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
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
)

from consumers.runtime.status import ConsumerStatus, Fault
from consumers.stats.process_statuses import ProcessStatuses
from ops.status.build import build
from ops.status.report import ConsumerReport


def database(*sync: ConsumerStatus, unread_s: float | None = None) -> ProcessStatuses:
    """Return answers with processes of sync, and how old the first unread record is in Kafka."""
    unread_since = {} if unread_s is None else {"sync": NOW - timedelta(seconds=unread_s)}
    kafka = with_kafka(retention_s=2 * DAY_S, unread_since=unread_since)
    # The name is that of the group, by which Kafka is asked.
    named = [msgspec.structs.replace(one, name="sync") for one in sync]
    return replace(kafka, consumers={**kafka.consumers, "sync": named})


def reported(what: ProcessStatuses) -> ConsumerReport:
    """Return what `hookline status` reports of sync."""
    addressed = replace(
        what,
        ingress_addresses=["http://ingress:8081"] * len(what.ingress or ()),
        consumer_addresses={
            name: ["http://any:8082"] * len(each) for name, each in what.consumers.items()
        },
    )
    report = build(stated(what), addressed, [], None)
    return next(one for one in report.consumers if one.name == "sync")


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


def test_a_lag_begins_when_kafka_wrote_the_record() -> None:
    """The text, the number and the time are those of the same event."""
    found = stage("database", database(a_consumer(oldest_waiting_s=900.0, oldest_in_kafka_s=400.0)))
    assert (found.state, found.number) == ("wrong", 400.0)
    assert found.since == (NOW - timedelta(seconds=400)).astimezone(ZONE)
    assert "waits in Kafka (since 14:35)" in found.what.en
    late = a_consumer(oldest_waiting_s=9 * DAY_S, oldest_in_kafka_s=1.9 * DAY_S)
    found = stage("database", database(late))
    assert "Kafka deletes it in 2 hours" in found.what.en
    assert found.since == NOW - timedelta(seconds=1.9 * DAY_S)


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
    assert "Kafka deletes it in 8 hours" in found.what.en


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
