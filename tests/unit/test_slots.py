"""In which slots of time an id is remembered, and found again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import MAD_TIMES

from consumers.counters.slots import REPEATED_WITHIN_S, slots_to_search
from schemas.additions import CLOCK_AHEAD_S_MAX, MESSAGE_AGE_S_MAX

HOUR = timedelta(hours=1)


MESSAGE_AGE_MAX, MESSAGE_AHEAD_MAX = (
    timedelta(seconds=MESSAGE_AGE_S_MAX),
    timedelta(seconds=CLOCK_AHEAD_S_MAX),
)
REPEATED_WITHIN = timedelta(seconds=REPEATED_WITHIN_S)


def slots(
    received_at: datetime, document: dict[str, Any], command: str = "C2C.CallbackAfterSendMsg"
) -> tuple[int | str, ...]:
    """Return the slots of a callback that was received then."""
    return slots_to_search(command, document, int(received_at.timestamp() // 1))


times_of_receipt = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given UTC here


@given(
    first_at=times_of_receipt,
    later=st.timedeltas(timedelta(0), REPEATED_WITHIN),
    sent=st.one_of(
        st.sampled_from(MAD_TIMES),
        st.integers(),
        st.timedeltas(-MESSAGE_AGE_MAX - 2 * HOUR, MESSAGE_AHEAD_MAX + 2 * HOUR),
        st.timedeltas(-MESSAGE_AGE_MAX - HOUR, -MESSAGE_AGE_MAX + HOUR),
        st.timedeltas(MESSAGE_AHEAD_MAX - HOUR, MESSAGE_AHEAD_MAX + HOUR),
    ),
)
def test_an_early_repeat_is_found_with_any_message_time(
    first_at: datetime, later: timedelta, sent: Any
) -> None:
    """Also over an hour's end, and where one time alone is plausible; either may come first."""
    if isinstance(sent, timedelta):
        sent = int((first_at + sent).timestamp())
    document = {"MsgTime": sent}
    first = slots(first_at, document)
    repeat = slots(first_at + later, document)
    assert first[0] in repeat
    assert repeat[0] in first


@given(
    first_at=times_of_receipt,
    age=st.timedeltas(timedelta(0), MESSAGE_AGE_MAX / 2),
    later=st.timedeltas(timedelta(0), MESSAGE_AGE_MAX / 2 - HOUR),
)
def test_a_late_repeat_is_found_by_the_messages_own_time(
    first_at: datetime, age: timedelta, later: timedelta
) -> None:
    """Out of an adopted spool, days later."""
    document = {"MsgTime": int((first_at - age).timestamp())}
    (first,) = slots(first_at, document)[:1]
    assert first in slots(first_at + later, document)


def test_a_field_that_differs_in_repeats_does_not_date_a_message() -> None:
    """EventTime, which dates all other callbacks, is set when the callback is sent."""
    at = datetime(2026, 1, 5, 10, 59, 59, tzinfo=UTC)
    first, repeat = (
        {"MsgKey": "1_2_3", "EventTime": time} for time in (1767610799000, 1767610801000)
    )
    earlier = slots(at, first)
    later = slots(at + timedelta(seconds=2), repeat)
    assert earlier[0] in later
    assert later[0] in earlier
    minute = slots(at, {"EventTime": 1767610801000}, "State.StateChange")
    assert minute == (1767610801 // 60,)


@pytest.mark.parametrize(
    "received_at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_a_time_of_receipt_in_the_year_9999_has_hours_too(received_at: datetime) -> None:
    """The clock of another producer must not crash the consumer."""
    assert len(slots(received_at, {})) == 3
