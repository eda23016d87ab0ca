"""Dead letters that were not counted are not shown as none, and the newest not as old."""

from dataclasses import replace
from datetime import timedelta

from support.pipeline_states import (
    NEWEST_DEAD_LETTERS_READ,
    NO_DEAD_LETTER_READ,
    SOME_DEAD_LETTERS_READ,
    stage,
    stated,
    with_dead_letters,
    with_kafka,
)
from support.reported import flat, report_of, shown

from consumers.stats.dead_letter_counts import DeadLetters


def test_no_dead_letter_among_those_that_were_read_is_not_none() -> None:
    """The newest may wait if the time was over before they were read."""
    what = NO_DEAD_LETTER_READ
    shown_stage = stage("dead_letters", what)
    assert (shown_stage.state, shown_stage.number) == ("unknown", None)
    assert shown_stage.what.en.startswith("It is not known whether dead letters wait: none of")
    assert stated(what).state == "warning"
    assert "Dead letters unknown It is not known whether dead letters wait" in (
        flat(shown(report_of(what)))
    )
    whole = stage("dead_letters", with_kafka())
    assert (whole.state, whole.number) == ("ok", 0)
    assert "Dead letters ok none" in flat(shown(report_of(with_kafka())))


def test_older_dead_letters_that_are_never_read_are_no_warning() -> None:
    """Nobody could end it: the offsets stay for up to 30 days after all were sent again."""
    what = NEWEST_DEAD_LETTERS_READ
    shown_stage = stage("dead_letters", what)
    assert (shown_stage.state, shown_stage.number) == ("ok", None)
    assert shown_stage.what.en == (
        "No dead letter of the last 5,000 offsets of each partition waits; older ones were not "
        "read."
    )
    assert stated(what).state == "ok"
    assert report_of(what).exit_code == 0
    assert "Dead letters ok No dead letter of the last 5,000 offsets of each partition waits" in (
        flat(shown(report_of(what)))
    )


def test_the_newest_dead_letters_are_not_described_if_they_were_not_read() -> None:
    """Neither their age is known, nor how many are from the last 24 hours."""
    shown_stage = stage("dead_letters", SOME_DEAD_LETTERS_READ)
    assert shown_stage.number is None
    assert shown_stage.what.en.startswith(
        "≥2 dead letters wait: sync 2 (DataError). Not all were read within 1 s, so the newest may "
        "be missing"
    )
    assert "24" not in shown_stage.what.en + shown_stage.what.zh
    assert "at least 2 wait: sync 2 Dead letters:" in (
        flat(shown(report_of(SOME_DEAD_LETTERS_READ)))
    )
    report = report_of(SOME_DEAD_LETTERS_READ).dead_letters
    assert report is not None
    assert (report.recent, report.newest_at, report.is_complete) == (None, None, False)


def test_a_number_of_dead_letters_is_exact_or_not_shown() -> None:
    """The text says `≥3` if older ones were not read; of the newest it knows all."""
    what = with_dead_letters(timedelta(hours=2), 1)
    assert stage("dead_letters", what).number == 3
    facts = what.kafka_facts
    assert facts is not None
    assert isinstance(facts.dead_letters, DeadLetters)
    some = replace(facts, dead_letters=replace(facts.dead_letters, is_complete=False))
    shown_stage = stage("dead_letters", replace(what, kafka=some))
    assert shown_stage.number is None
    assert shown_stage.what.en.startswith("≥3 dead letters wait")
    assert "1 of them are from the last 24 hours; the last one is 2 hours old" in (
        shown_stage.what.en
    )
