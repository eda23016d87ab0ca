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
