"""The log of answers other than OK has few lines and no secrets."""

import pytest
from support.fakes import ManualClock

from ingress.http import answers
from ingress.http.failure_log import LOG_INTERVAL_S, SHOWN_CHARACTERS_MAX, FailureLog, shown


def test_a_flood_of_refusals_is_one_line_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """The first refusal is logged at once, the later ones only as a number."""
    clock = ManualClock()
    failure_log = FailureLog(clock=clock)
    for _ in range(1000):
        failure_log.note(answers.NOT_OURS, "", "10.0.0.1", "/")
    failure_log.note(answers.MALFORMED, "no JSON", "10.0.0.1", "/")
    clock.now = LOG_INTERVAL_S
    failure_log.note(answers.NOT_OURS, "", "10.0.0.2", "/")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "not_ours (1 since" in lines[0]
    assert "malformed (1 since" in lines[1]
    assert "not_ours (1000 since" in lines[2]


def test_the_last_refusals_are_logged_without_another_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The number of an answer is logged once it is due, and once: 1 + 5 of 6 wrong signs."""
    clock = ManualClock()
    failure_log = FailureLog(clock=clock)
    for number in range(6):
        failure_log.note(answers.WRONG_SIGN, "", (f"10.0.0.{number}", 1), f"/?n={number}")
    clock.now = LOG_INTERVAL_S - 0.1
    failure_log.log_due()
    assert len(caplog.records) == 1
    clock.now = LOG_INTERVAL_S
    failure_log.log_due()
    assert len(caplog.records) == 2
    failure_log.log_due()
    failure_log.log_rest()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "wrong_sign (1 since" in lines[0]
    assert "wrong_sign (5 since" in lines[1]
    assert lines[1].endswith("; the last one from 10.0.0.5 to /?n=5")


def test_a_line_that_was_logged_by_the_timer_begins_an_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is one line for each interval, also after a line that no request caused."""
    clock = ManualClock()
    failure_log = FailureLog(clock=clock)
    for clock.now in (0.0, 1.0, LOG_INTERVAL_S, LOG_INTERVAL_S + 1.0):
        failure_log.log_due()
        failure_log.note(answers.WRONG_SIGN, "", "10.0.0.1")
    lines = [record.getMessage() for record in caplog.records]
    # The second line is that of the timer: it has the request at 1 s, not the one after it.
    assert ["(1 since" in line for line in lines] == [True, True]


def test_the_end_of_the_process_logs_what_is_not_due(caplog: pytest.LogCaptureFixture) -> None:
    """Each refused request is in a line, however the process stops."""
    failure_log = FailureLog(clock=ManualClock())
    for _ in range(3):
        failure_log.note(answers.NOT_POST, "", "10.0.0.1")
    failure_log.log_rest()
    assert "not_post (2 since" in caplog.records[-1].getMessage()


def test_a_line_ends_with_the_target_if_it_is_known(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are not HTTP have none."""
    failure_log = FailureLog(clock=ManualClock())
    failure_log.note(answers.NOT_OURS, "", ("10.0.0.1", 1), "/%41")
    failure_log.note(answers.NOT_HTTP, "", ("10.0.0.2", 2))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].endswith("; the last one from 10.0.0.1 to /A")
    assert lines[1].endswith("; the last one from 10.0.0.2")


def test_a_line_is_short_and_shows_no_complete_sign() -> None:
    """A peer may write anything into its URL."""
    sign = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
    for url in (f"/?Sign={sign}&x=1", f"/?x=1&sign={sign}", f"/?SIGN%3D{sign}", f"/Sign={sign}"):
        assert sign[:6] in shown(url)
        assert sign[:7] not in shown(url)
    assert "\n" not in shown("/\r\n2026 ERROR forged")
    assert shown("x" * 5000) == "x" * SHOWN_CHARACTERS_MAX + "… (4700 more characters)"
    shown("\ud800").encode()
