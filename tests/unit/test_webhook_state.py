"""The circuit breaker, the state of a partition, and the records of the retry topic."""

import time
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_stored_record
from support.fakes import ManualClock

from consumers.runtime.batch import Position, Record
from consumers.webhook.callback_filter import callback_filter
from consumers.webhook.circuit import CONNECTED_S, FAILING_MIN, Circuit
from consumers.webhook.gauges import set_parked_gauges
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind
from consumers.webhook.retries import RETRY_S_MAX, next_try_ms
from consumers.webhook.retry_record import (
    Change,
    FinishedCallback,
    ParkedCallback,
    PartitionClaim,
    TargetBegin,
    UnreadableRetryRecord,
    change,
    conversation,
    retry_record,
)
from consumers.webhook.retry_state import RetryState
from consumers.webhook.settings import WebhookSettings
from schemas.telemetry import WEBHOOK_METRICS


def a_parked(offset: int, key: bytes | None = b"key", next_try: int = 0) -> ParkedCallback:
    """Return a parked callback."""
    record = a_stored_record(offset)._replace(key=key)
    return ParkedCallback(record, 1, next_try, 5, "the target answered 500: \u20ac")


@pytest.mark.parametrize(
    "stated",
    [
        Position(7, None, None),
        Position(7, (3, "origin", 4), "topic"),
        PartitionClaim("abc"),
        TargetBegin(Position(7, None, "topic")),
        FinishedCallback(12),
        a_parked(12),
        a_parked(12, key=None),
    ],
)
def test_a_change_is_read_as_it_was_written(stated: Change) -> None:
    """The callback has its own headers, its key and its time again."""
    assert change(*retry_record(stated)) == stated


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"other", b"{}"),
        (b"position", b"[]"),
        (b"position", b'{"next_offset": "1", "last": null, "topic_id": null}'),
        (b"position", None),
        (b"parked/x", b"{}"),
        (b"parked/1", b"{}"),
    ],
)
def test_a_record_of_another_program_is_noticed(key: bytes | None, value: bytes | None) -> None:
    """It is never taken for a state."""
    with pytest.raises(UnreadableRetryRecord):
        change(key, value, [])


def test_callbacks_without_a_key_are_conversations_of_their_own() -> None:
    """None of them waits for another one, and no key is equal to them."""
    names = {conversation(Record(offset, 0, None, b"", ())) for offset in (1, 2)}
    assert len(names) == 2
    assert conversation(Record(1, 0, b"", b"", ())) not in names


def test_parked_callbacks_are_delivered_in_the_order_of_their_offsets() -> None:
    """Compaction moves a callback that was tried again after those that follow it."""
    state = RetryState()
    for parked in (a_parked(5), a_parked(9), a_parked(2, next_try=8)):
        state.apply(parked)
    assert [each.record.offset for each in state.waiting(b"key")] == [2, 5, 9]
    assert state.take_due(7) is None
    assert state.take_due(8) == b"key"
    assert state.take_due(8) is None
    state.apply(FinishedCallback(2))
    state.give_back(b"key")
    assert state.take_due(0) == b"key"
    for offset in (5, 9, 77):
        state.apply(FinishedCallback(offset))
    assert (state.parked_records, state.parked_bytes, state.is_parked(b"key")) == (0, 0, False)
    assert state.next_due_ms() is None


def test_a_conversation_that_fails_for_hours_does_not_fill_the_schedule() -> None:
    """Each attempt replaces the time of the next one."""
    state = RetryState()
    for attempt in range(10_000):
        state.apply(a_parked(1, next_try=attempt))
    assert sum(map(len, state._due.values())) < 200  # noqa: SLF001


def test_conversations_that_fail_again_and_again_can_be_left_out() -> None:
    """The others are delivered although those are due earlier."""
    state = RetryState()
    state.apply(a_parked(1, key=b"failing", next_try=1)._replace(attempts=2))
    assert (state.next_due_ms(include_failing=False), state.next_due_ms()) == (None, 1)
    assert state.take_due(9, include_failing=False) is None
    state.apply(a_parked(2, key=b"new", next_try=5))
    assert (state.next_due_ms(include_failing=False), state.next_due_ms()) == (5, 1)
    assert state.take_due(9, include_failing=False) == b"new"
    assert state.take_due(9) == b"failing"
    state.apply(FinishedCallback(1))
    state.apply(a_parked(3, key=b"failing", next_try=2))
    state.give_back(b"failing")
    assert state.take_due(9, include_failing=False) == b"failing"


def test_attempts_wait_longer_and_longer_but_not_for_ever() -> None:
    """And never less than the target asked for."""
    failed = Outcome(OutcomeKind.FAILED)
    waits = [next_try_ms(attempts, failed, 0) / 1000 for attempts in range(1, 40)]
    assert 0.7 < waits[0] < 1.3
    assert max(waits) <= RETRY_S_MAX * 1.2
    assert min(waits[20:]) >= RETRY_S_MAX * 0.8
    assert next_try_ms(1, Outcome(OutcomeKind.FAILED, "", 600.0), 0) == 600_000


def test_the_circuit_opens_when_most_conversations_fail() -> None:
    """One that fails again and again is not most of them."""
    clock = ManualClock()
    circuit = Circuit("crm", clock)
    for _ in range(100):
        circuit.note_failure(b"one", "500")
    assert not circuit.is_open
    for number in range(FAILING_MIN + 1):
        circuit.note_answer(b"good-%d" % number)
    for number in range(FAILING_MIN):
        circuit.note_failure(b"bad-%d" % number, "500")
    assert not circuit.is_open
    for number in range(FAILING_MIN):
        circuit.note_failure(b"worse-%d" % number, "500")
    assert circuit.is_open


REFUSED_CONNECTION = Outcome(OutcomeKind.FAILED, "refused", connection=Connection.NOT_MADE)


def test_the_circuit_opens_when_no_connection_can_be_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However few conversations there are; some without among many with a connection do not."""
    clock = ManualClock()
    circuit = Circuit("crm", clock)
    circuit.note_connection(Outcome(OutcomeKind.FAILED, "500"), circuit.now())
    for _ in range(3):
        circuit.note_connection(REFUSED_CONNECTION, circuit.now())
        clock.now += CONNECTED_S / 3
    assert not circuit.is_open
    circuit.note_connection(REFUSED_CONNECTION, circuit.now())
    assert (circuit.is_open, circuit.is_unreachable, circuit.reason) == (True, True, "refused")
    assert "until it can be reached: no connection can be made; the last failure is: refused" in (
        caplog.text
    )
    circuit.note_failed_probe("refused")
    # The target can be reached, but fails: the conversations decide.
    circuit.note_connection(Outcome(OutcomeKind.FAILED, "500"), circuit.now())
    assert (circuit.is_open, circuit.is_unreachable) == (False, False)


def test_a_connection_from_before_the_circuit_opened_does_not_close_it() -> None:
    """An attempt that was sent before the target's host was gone ends long after."""
    clock = ManualClock()
    circuit = Circuit("crm", clock)
    began_at = clock.now
    clock.now += 4
    circuit.note_connection(REFUSED_CONNECTION, clock.now)
    clock.now += 6
    late = Outcome(OutcomeKind.FAILED, "the target did not answer within WEBHOOK_TIMEOUT_S")
    circuit.note_connection(late, began_at)
    assert circuit.is_unreachable
    circuit.note_connection(late, clock.now)
    assert not circuit.is_open


def test_a_circuit_that_conversations_opened_is_not_closed_by_a_connection() -> None:
    """Only an answer shows that the target works."""
    circuit = Circuit("crm", ManualClock())
    for number in range(FAILING_MIN):
        circuit.note_failure(b"%d" % number, "500")
    circuit.note_connection(Outcome(OutcomeKind.FAILED, "500"), circuit.now())
    assert (circuit.is_open, circuit.is_unreachable) == (True, False)


def test_failures_of_long_ago_do_not_open_the_circuit() -> None:
    """A quiet night with a failure each hour is not an outage."""
    clock = ManualClock()
    circuit = Circuit("crm", clock)
    for number in range(20):
        clock.now += 3600
        circuit.note_failure(b"%d" % number, "500")
    assert not circuit.is_open


def test_one_probe_at_a_time_and_each_waits_longer_until_one_is_answered() -> None:
    """The target may ask for more time."""
    clock = ManualClock()
    circuit = Circuit("crm", clock)
    for number in range(FAILING_MIN):
        circuit.note_failure(b"%d" % number, "500")
    assert not circuit.begin_probe()
    clock.now += 1
    assert circuit.begin_probe()
    assert not circuit.begin_probe()
    circuit.note_failed_probe("500")
    clock.now += 1.9
    assert not circuit.begin_probe()
    clock.now += 0.2
    assert circuit.begin_probe()
    circuit.note_failed_probe("503", retry_after_s=600)
    clock.now += 599
    assert not circuit.begin_probe()
    clock.now += 1
    assert circuit.begin_probe()
    circuit.note_answer(b"1")
    assert not circuit.is_open
    circuit.note_failure(b"1", "500")
    assert not circuit.is_open


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, True),
        ({"sdkappids": ("1400000001",)}, True),
        ({"sdkappids": ("1400000009",)}, False),
        ({"commands": ("C2C.CallbackAfterSendMsg",)}, True),
        ({"commands": ("C2C.*",)}, True),
        ({"commands": ("Group.*", "State.StateChange")}, False),
        ({"commands": ("C2C.",)}, False),
    ],
)
def test_a_target_may_want_some_apps_and_commands(fields: dict[str, Any], wanted: object) -> None:
    """A name with `*` at its end stands for all that begin so."""
    settings = WebhookSettings(name="a", url="https://a", secrets_file=Path("a"), **fields)
    is_selected = callback_filter(sdkappids=settings.sdkappids, commands=settings.commands)
    assert is_selected(a_stored_record(1)) is wanted


def test_a_conversation_fails_since_its_first_failure_and_not_since_the_request() -> None:
    """A callback that waited in a spool for days, and failed once just now, fails for no time."""
    state = RetryState()
    set_parked_gauges([state], lambda _: 0.0)
    assert shown("failing_seconds") == 0
    now_ms = int(time.time() * 1000)
    state.apply(a_parked(1)._replace(failed_or_resent_at_ms=now_ms - 60_000))
    # It was parked because its conversation was, and has not been tried.
    state.apply(a_parked(2)._replace(attempts=0, failed_or_resent_at_ms=0))
    # It was sent again, which counts as no failure.
    state.apply(a_parked(3)._replace(attempts=0, failed_or_resent_at_ms=now_ms - 900_000))
    set_parked_gauges([state, RetryState()], lambda _: 0.0)
    assert 60 <= shown("failing_seconds") <= 60 + time.time() - now_ms / 1000
    assert shown("oldest_seconds") > 86400
    state.apply(FinishedCallback(1))
    set_parked_gauges([state], lambda _: 0.0)
    assert shown("failing_seconds") == 0


def shown(name: str) -> float:
    """Return a gauge of parked callbacks as a scrape shows it."""
    value = WEBHOOK_METRICS.get_sample_value(f"webhook_parked_{name}")
    assert value is not None
    return value
