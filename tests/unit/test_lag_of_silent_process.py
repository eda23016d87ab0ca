"""A process that does not answer may still have partitions: Kafka reports the lag of the group."""

from datetime import timedelta

import pytest
from support.pipeline_states import DAY_S, NOW, SILENT, a_consumer, stage, with_kafka_and
from support.reported import report_of

from consumers.runtime.status import Fault


@pytest.mark.parametrize("in_kafka_s", [0.0, 0.2])
def test_a_member_that_has_read_all_does_not_hide_the_lag_of_a_silent_one(
    in_kafka_s: float,
) -> None:
    """Its admin port may be unreachable while it still has partitions, and lags."""
    answers = a_consumer(oldest_waiting_s=in_kafka_s)
    for unread_s, text in (
        (47 * 3600.0, "Kafka may soon delete callbacks that PostgreSQL lacks"),
        (400.0, "the oldest callback has waited in Kafka for 6 minutes"),
    ):
        unread_since = {"sync": NOW - timedelta(seconds=unread_s)}
        what = with_kafka_and(
            retention_s=2 * DAY_S, unread_since=unread_since, sync=[answers, SILENT]
        )
        found = stage("database", what)
        assert (found.state, found.number) == ("wrong", unread_s)
        assert text in found.what.en
        sync = next(one for one in report_of(what).consumers if one.name == "sync")
        assert sync.unread_lost_in_s == 2 * DAY_S - unread_s
        assert (sync.oldest_in_kafka_s, sync.oldest_waiting_s) == (unread_s, unread_s)


def test_an_age_is_not_known_while_a_process_is_silent_and_kafka_does_not_report_it() -> None:
    """The silent process may have partitions, and lag by more than the others."""
    fails = a_consumer(sink_fault=Fault(what="x", for_s=60.0))
    found = stage("database", with_kafka_and(retention_s=2 * DAY_S, sync=[fails, SILENT]))
    assert "A callback is lost only after 2 days there" in found.what.en
    assert "Nothing is lost" not in found.what.en
