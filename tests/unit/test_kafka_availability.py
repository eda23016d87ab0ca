"""The log of an outage of Kafka."""

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.ongoing_failure import REPEAT_LOG_S


def test_an_outage_is_logged_once_then_once_a_minute_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It names the error and the time of the outage. Here an hour of attempts, one every 2 s."""
    now_s = 0.0
    kafka_availability = KafkaAvailability("sync", clock=lambda: now_s)
    kafka_availability.note_answer()
    assert caplog.messages == []
    for _ in range(1800):
        kafka_availability.note_failure(KafkaConnectionError("connection refused"))
        now_s += 2.0
    assert "sync waits for Kafka" in caplog.messages[0]
    assert "connection refused" in caplog.messages[0]
    assert 3600 / REPEAT_LOG_S - 1 <= len(caplog.messages) <= 3600 / REPEAT_LOG_S + 1
    kafka_availability.note_answer()
    kafka_availability.note_answer()
    assert caplog.messages[-1] == "sync: Kafka answers again after 3600 s"
    assert caplog.text.count("answers again") == 1


def test_another_kind_of_error_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """If no outage explains the error, with its traceback."""
    kafka_availability = KafkaAvailability("sync", clock=lambda: 0.0)
    kafka_availability.note_failure(KafkaConnectionError("connection refused"))
    kafka_availability.note_failure(TimeoutError())
    unexplained = KafkaError("the client has failed")
    unexplained.__cause__ = KeyError((1, 0))
    kafka_availability.note_failure(unexplained)
    kafka_availability.note_failure(unexplained)
    assert [record.exc_info is not None for record in caplog.records] == [False, False, True]
