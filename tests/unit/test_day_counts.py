"""The statistics of each app's days must be those of the records, even if the totals agree."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from support.audited_world import ORIGIN, add_line
from support.builders import APP, P0, a_body, a_stored_record

from consumers.runtime.batch import Record
from ops.audit.day_counts import EXPIRED, IN_FUTURE, NOT_KEPT
from ops.audit.report import Report
from ops.audit.shown_days import Numbers, ShownDays
from ops.audit.sources import ReadAgain
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistic_report import DaysReport
from ops.audit.statistics import Statistics
from ops.audit.tally import Tally
from ops.failure import ExitCode
from schemas.dead_letter import GROUP

SHANGHAI, UTC_ZONE = "Asia/Shanghai", "UTC"
# 23:59:30 and, a minute later, 00:00:30 in Shanghai.
LATE = datetime(2026, 11, 27, 15, 59, 30, tzinfo=UTC)
EARLY = datetime(2026, 11, 27, 16, 0, 30, tzinfo=UTC)
YESTERDAY, TODAY = "2026-11-27", "2026-11-28"


def a_message(sequence: int, at: datetime, *, key: int | None = None, **fields: Any) -> Record:
    """Return the record of a message that was sent at a time and received a second later."""
    body = a_body(MsgKey=f"key-{key or sequence}", **{"MsgTime": int(at.timestamp())} | fields)
    received_at_ms = int(at.timestamp() * 1000) + 1000
    return a_stored_record(sequence - 1, body, origin=ORIGIN, received_at_ms=received_at_ms)


def shown_days(
    numbers: Mapping[str, int | tuple[int, int]],
    *,
    zone: str = SHANGHAI,
    first: str | None = None,
    last: str = "2026-12-01",
) -> dict[str, ShownDays]:
    """Return the days of APP; a number is that of both messages and callbacks."""
    return {
        APP: ShownDays(
            zone=zone,
            first=min(numbers, default="") if first is None else first,
            last=last,
            numbers={
                day: Numbers(*(of_day if isinstance(of_day, tuple) else (of_day, of_day)))
                for day, of_day in numbers.items()
            },
        )
    }


def audited(
    shown: dict[str, ShownDays],
    *records: Record,
    end: int | None = None,
    expired_at_ms: int | None = None,
    dead: Record | None = None,
    messages: int | None = None,
) -> Report:
    """Return the report on records whose sequences are all counted."""
    tally = Tally(
        SpoolEnds(by_spool={ORIGIN: {ORIGIN: len(records) if end is None else end}}),
        [],
        audits_postgres=False,
        audits_counts=True,
    )
    sequences = [record.offset + 1 for record in records if record is not dead]
    applied = {ORIGIN: {P0.number: (len(sequences), sum(sequences))}}
    of_days = sum(numbers.messages for app in shown.values() for numbers in app.numbers.values())
    total = of_days if messages is None else messages
    tally.note_statistics(Statistics(messages=total, people=None, applied=applied))
    tally.note_days(shown)
    tally.note_log_starts({P0.number: 0})
    if expired_at_ms is not None:
        tally.note_expired(P0.number, {ORIGIN: (1, 1)}, last_timestamp_ms=expired_at_ms)
    for record in records:
        tally.add_record(P0.number, record.offset, record.headers, record.value)
        add_line(tally, record)
    if dead:
        headers = [*dead.headers, (GROUP, b"counters")]
        tally.add_dead_letter(0, dead.offset, headers, dead.value)
    return tally.report()


def days_of(report: Report) -> DaysReport:
    """Return the days of a report, which must have them."""
    assert report.days is not None
    return report.days


def differing(report: Report) -> dict[str, tuple[int, int]]:
    """Return the days that differ, each with how many are missing and doubled."""
    return {each.day: (each.missing, each.doubled) for each in days_of(report).listed}


def test_days_are_those_of_the_apps_zone() -> None:
    """A minute decides in which day a message is."""
    records = (a_message(1, LATE), a_message(2, EARLY), a_message(3, EARLY))
    assert audited(shown_days({YESTERDAY: 1, TODAY: 2}), *records).proven
    assert audited(shown_days({YESTERDAY: 3}, zone=UTC_ZONE), *records).proven
    report = audited(shown_days({YESTERDAY: 3}), *records)
    assert differing(report) == {YESTERDAY: (0, 2), TODAY: (2, 0)}


@pytest.mark.parametrize(
    ("numbers", "differences"),
    [
        ({YESTERDAY: 1, TODAY: 3}, {YESTERDAY: (1, 0), TODAY: (0, 1)}),
        ({YESTERDAY: 3, TODAY: 1}, {YESTERDAY: (0, 1), TODAY: (1, 0)}),
        ({YESTERDAY: 2, "2026-11-30": 2}, {TODAY: (2, 0), "2026-11-30": (0, 2)}),
    ],
)
def test_a_message_in_the_wrong_day_is_found_although_the_totals_agree(
    numbers: dict[str, Any], differences: dict[str, tuple[int, int]]
) -> None:
    """Only the days show it. The message is counted once, so it is neither missing nor doubled."""
    records = [a_message(n, LATE if n < 3 else EARLY) for n in (1, 2, 3, 4)]
    report = audited(shown_days(numbers, first=YESTERDAY), *records)
    assert all(not each.missing and not each.doubled for each in report.statistics.values())
    assert differing(report) == differences
    assert (report.exit_code, report.different_days) == (ExitCode.FAULT, 2)
    assert (report.missing_at_least, report.doubled_at_least) == (0, 0)


def test_callbacks_that_no_day_has_are_missing_and_those_that_no_record_makes_are_doubled() -> None:
    """Both also beside a message in the wrong day, and if the totals agree."""
    records = [a_message(n, LATE if n < 3 else EARLY) for n in (1, 2, 3, 4)]
    for numbers, missing, doubled in (
        ({YESTERDAY: 0, TODAY: 2}, 2, 0),
        ({YESTERDAY: 0, TODAY: 3}, 1, 0),
        ({YESTERDAY: 2, TODAY: 5}, 0, 3),
        ({YESTERDAY: 1, TODAY: 5}, 0, 2),
    ):
        report = audited(shown_days(numbers, first=YESTERDAY), *records, messages=4)
        assert (report.missing_at_least, report.doubled_at_least) == (missing, doubled), numbers


def test_callbacks_that_are_no_messages_are_compared_as_well() -> None:
    """An online-only message is a callback; totals do not count it."""
    records = (a_message(1, LATE), a_message(2, LATE, OnlineOnlyFlag=1))
    assert audited(shown_days({YESTERDAY: (1, 2)}), *records).proven
    for wrong, fault in (((1, 1), (1, 0)), ((1, 3), (0, 1))):
        assert differing(audited(shown_days({YESTERDAY: wrong}), *records)) == {YESTERDAY: fault}


def test_records_above_the_end_may_be_counted_or_not() -> None:
    """They came after the audit began."""
    records = [a_message(n, EARLY) for n in (1, 2, 3)]
    for counted, is_different in ((1, True), (2, False), (3, False), (4, True)):
        report = audited(shown_days({TODAY: counted}), *records, end=2, messages=3)
        assert bool(days_of(report).different) is is_different, counted


def test_a_late_callback_is_of_the_day_of_its_own_time() -> None:
    """It was sent before midnight and received after it."""
    record = a_message(1, EARLY, MsgTime=int(LATE.timestamp()))
    assert audited(shown_days({YESTERDAY: 1}), record).proven
    report = audited(shown_days({TODAY: 1}, first=YESTERDAY), record)
    assert differing(report) == {YESTERDAY: (1, 0), TODAY: (0, 1)}


def test_a_repeat_counts_once() -> None:
    """With a time in its body, it is of the same day whenever it is received."""
    records = (a_message(1, LATE), a_message(2, LATE, key=1), a_message(3, LATE, key=1))
    assert audited(shown_days({YESTERDAY: 1}), *records).proven
    for wrong, fault in ((0, (1, 0)), (2, (0, 1))):
        report = audited(shown_days({YESTERDAY: wrong}, first=YESTERDAY), *records, messages=1)
        assert differing(report) == {YESTERDAY: fault}


def test_a_repeat_without_a_time_may_count_in_either_day() -> None:
    """The counters count it where they saw it first; in no third day, and not three times."""
    records = (
        a_message(1, LATE, MsgTime=None),
        a_message(2, EARLY, key=1, MsgTime=None),
    )
    for numbers in ({YESTERDAY: 1}, {TODAY: 1}):
        assert audited(shown_days(numbers, first=YESTERDAY), *records).proven, numbers
    report = audited(shown_days({YESTERDAY: 2}), *records, messages=1)
    assert differing(report) == {YESTERDAY: (0, 1)}


def test_days_that_may_have_expired_records_are_not_judged() -> None:
    """Up to a day after the last expired record, which may have a time a day ahead."""
    records = (a_message(2, LATE), a_message(3, datetime(2026, 11, 30, tzinfo=UTC)))
    shown = shown_days({"2026-11-01": 7, YESTERDAY: 7, "2026-11-30": 2})
    before = datetime(2026, 11, 26, 1, tzinfo=UTC)
    report = audited(shown, *records, end=3, expired_at_ms=int(before.timestamp() * 1000))
    assert differing(report) == {"2026-11-30": (0, 1)}
    (skipped,) = days_of(report).not_judged
    assert (skipped.first, skipped.last, skipped.days) == ("2026-11-01", YESTERDAY, 2)
    assert skipped.reason == EXPIRED


def test_months_that_the_statistics_do_not_have_any_more_are_not_judged() -> None:
    """They expire as a whole, so another day of the first month is judged."""
    records = (
        a_message(1, datetime(2026, 10, 31, tzinfo=UTC)),
        a_message(2, datetime(2026, 11, 1, tzinfo=UTC)),
        a_message(3, EARLY),
    )
    report = audited(shown_days({TODAY: 1}), *records, messages=3)
    assert differing(report) == {"2026-11-01": (1, 0)}
    assert [(each.last, each.reason) for each in days_of(report).not_judged] == [
        ("2026-10-31", NOT_KEPT)
    ]
    assert days_of(audited(shown_days({}), *records, messages=3)).compared == 0


def test_days_that_were_not_asked_for_are_not_judged() -> None:
    """The clock of an ingress is wrong."""
    report = audited(shown_days({TODAY: 1}, last=TODAY), a_message(1, EARLY))
    assert (report.proven, days_of(report).compared) == (True, 1)
    far = a_message(2, datetime(2027, 1, 1, tzinfo=UTC))
    report = audited(shown_days({TODAY: 1}, last=TODAY), a_message(1, EARLY), far, messages=2)
    assert (report.proven, days_of(report).not_judged[0].reason) == (True, IN_FUTURE)


def test_an_app_that_the_statistics_do_not_have_lacks_all_its_days() -> None:
    """No callback of it was counted."""
    report = audited({}, a_message(1, EARLY), messages=1)
    assert differing(report) == {TODAY: (1, 0)}
    assert days_of(report).listed[0].zone == SHANGHAI


def test_an_app_without_records_must_have_no_days() -> None:
    """Its callbacks are in no record."""
    shown = shown_days({TODAY: 1}) | {"2": shown_days({TODAY: 2})[APP]}
    report = audited(shown, a_message(1, EARLY), messages=1)
    assert [(each.app, each.doubled) for each in days_of(report).listed] == [("2", 2)]


def test_dead_letters_of_the_counters_are_not_missing_in_a_day() -> None:
    """They are reported as dead letters."""
    records = (a_message(1, EARLY), a_message(2, EARLY))
    report = audited(shown_days({TODAY: 1}), *records, dead=records[1])
    assert days_of(report).different == 0
    # The totals lack it, too.
    assert (report.missing_at_least, report.statistics["messages"].missing) == (0, 0)


def test_records_of_another_zone_are_read_again() -> None:
    """An app got its zone after its records were read, or a rebuild has changed it."""
    tally = Tally(
        SpoolEnds(by_spool={ORIGIN: {ORIGIN: 1}}), [], audits_postgres=False, audits_counts=True
    )
    tally.note_days({})
    record = a_message(1, LATE)
    tally.add_record(P0.number, record.offset, record.headers, record.value)
    tally.note_days(shown_days({YESTERDAY: 1}))
    with pytest.raises(ReadAgain, match="the days of app 1400000001 are those of UTC, not of Asia"):
        tally.note_days(shown_days({YESTERDAY: 1}, zone=UTC_ZONE))
