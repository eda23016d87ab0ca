"""Why rows cannot be sent, and since when."""

import logging

import pytest
from aiokafka.errors import KafkaError

from ingress.forward.forward_fault import ForwardFault
from schemas.ingress_status import NOT_CONNECTED


def test_a_fault_lasts_until_rows_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that fails at its first transaction again and again does not end the fault."""
    now = 0.0
    fault = ForwardFault(clock=lambda: now)
    assert (fault.text, fault.for_s) == (NOT_CONNECTED, None)
    now = 10.0
    with caplog.at_level(logging.WARNING):
        for text in ("first", "first", "second"):
            fault.note_failure(KafkaError(text), "origin", 7)
            now += 5
    assert (fault.text, fault.for_s) == ("KafkaError: second", 15.0)
    assert [entry.args[2] for entry in caplog.records if isinstance(entry.args, tuple)] == [
        "KafkaError: first",
        "KafkaError: second",
    ]
    fault.note_connected()
    assert (fault.text, fault.for_s) == ("", None)
    fault.note_failure(TimeoutError(), "origin", 7)
    assert (fault.text, fault.for_s) == ("Kafka does not answer in time", 15.0)
    fault.note_connected()
    fault.note_not_failing()
    now += 5
    fault.note_failure(TimeoutError(), "origin", 7)
    assert fault.for_s == 0.0
