"""The printed result of an audit."""

from rich.console import Console
from support.reports import report_with

from ops.audit.ledger_report import LedgerReport
from ops.audit.output import render, waited_for
from ops.audit.report import (
    ARCHIVE,
    COUNTS,
    INGRESS_DEAD_LETTERS,
    KAFKA,
    POSTGRES,
    OriginReport,
    Report,
    SinkReport,
)
from ops.audit.statistic_report import DayReport, DaysNotJudged, DaysReport, StatisticReport

PLACES = (KAFKA, INGRESS_DEAD_LETTERS, ARCHIVE, POSTGRES, COUNTS)


def a_report(
    *,
    statistics: dict[str, StatisticReport] | None = None,
    ledger: LedgerReport | None = None,
    **sinks: SinkReport,
) -> Report:
    """Return the report on one origin with 5,503 callbacks in every place, but for `sinks`."""
    held = {place: SinkReport(sequences=5503) for place in PLACES} | sinks
    origin = OriginReport(origin="o" * 16, last_sequence=5503, sinks=held)
    return report_with(origins=[origin], ledger=ledger, statistics=statistics or {})


def printed(report: Report, *, width: int = 80) -> list[str]:
    """Return the printed lines."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(render(report))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_an_audit_of_all_sinks_fits_into_80_columns() -> None:
    """No heading and no number is cut."""
    lines = printed(a_report())
    heads = "origin stored Kafka letters archive PostgreSQL counts missing doubled"
    assert [lines[at].split() for at in (1, 2, 3)] == [["ingress"], ["dead"], heads.split()]
    assert lines[5].split() == ["o" * 16, *["5503"] * 6, "0", "0"]
    assert (
        lines[-1] == "proven: every callback is exactly once in Kafka, archive, PostgreSQL, counts"
    )


def test_an_audit_names_the_sinks_that_it_waits_for() -> None:
    """With the number of callbacks that are still on their way to each."""
    late = a_report(
        archive=SinkReport(sequences=0, missing=1000), counts=SinkReport(sequences=0, missing=2)
    )
    assert waited_for(late) == "callbacks on their way: archive 1000, counts 2"
    lacks = {"messages": StatisticReport(shown=1, least=4, most=4)}
    assert waited_for(a_report(statistics=lacks)) == (
        "3 callbacks that the statistics or the ledger lack"
    )


def test_what_has_expired_from_a_sink_alone_is_named() -> None:
    """The verdict says that not everything is proven."""
    lines = printed(
        a_report(postgres=SinkReport(sequences=5000, expired=503, returned=2)), width=120
    )
    origin = "o" * 16
    assert f"{origin}: 503 expired from PostgreSQL: not audited there" in lines
    assert (
        f"{origin}: PostgreSQL: 2 had expired and came again; the next `hookline sync expire`"
        " deletes them"
    ) in lines
    assert lines[-1].startswith("proven: every callback that has not expired is exactly once")


def test_a_fault_is_printed_with_its_place_and_its_sequences() -> None:
    """Counts cannot name sequences."""
    lines = printed(
        a_report(
            archive=SinkReport(sequences=5501, missing=2, missing_listed=[7, 9]),
            counts=SinkReport(sequences=5504, doubled=1),
        )
    )
    assert "oooooooooooooooo: archive: 2 missing: 7, 9" in lines
    assert "oooooooooooooooo: counts: 1 doubled: the counts do not show which" in lines
    assert lines[-1] == "faults: 2 missing, 1 doubled"


def test_a_statistic_outside_its_bounds_is_printed_as_a_mismatch() -> None:
    """It is printed with the bounds from the records, or with a single value if both are equal."""
    lines = printed(
        a_report(
            statistics={
                "messages": StatisticReport(shown=3, least=4, most=6),
                "people": StatisticReport(shown=3, least=2, most=2),
            }
        ),
        width=120,
    )
    assert (
        "the API reports 3 messages, 3 people; messages without online-only ones, like typing hints"
    ) in lines
    assert "mismatch: the API reports 3 messages, the records allow 4 to 6" in lines
    assert "mismatch: the API reports 3 people, the records allow 2" in lines


def test_a_day_that_differs_is_printed_with_its_app_and_zone() -> None:
    """Days that are not compared are printed with the reason."""
    day = DayReport(
        app="1400000001",
        zone="Asia/Shanghai",
        day="2026-11-28",
        messages=StatisticReport(shown=99, least=100, most=103),
        callbacks=StatisticReport(shown=120, least=120, most=123),
    )
    skipped = DaysNotJudged(app="2", first="2026-11-01", last="2026-11-09", days=3, reason="why")
    days = DaysReport(
        compared=31, different=2, missing=1, doubled=0, listed=[day], not_judged=[skipped]
    )
    lines = printed(report_with(days=days), width=160)
    assert lines[-5:] == [
        "statistics: 31 days of apps compared, each app in its own time zone; 2 differ",
        (
            "day 2026-11-28 of app 1400000001 (Asia/Shanghai): counted 99 messages,"
            " in the records 100 to 103"
        ),
        "and 1 more days",
        "app 2: 3 days from 2026-11-01 to 2026-11-09 are not judged: why",
        "faults: 1 missing, 2 days with other counts than the records",
    ]


def test_repeats_are_counted_without_the_first_callback() -> None:
    """A callback that was stored three times makes two."""
    assert "2 repeats of callbacks: not a fault" in printed(report_with(repeats=2))
    assert "1 repeat of callbacks: not a fault" in printed(report_with(repeats=1))


def test_the_ledger_is_printed_in_one_sentence() -> None:
    """The sentence has the number answered OK, and how many of them each sink lacks."""
    ledger = LedgerReport(
        sent=5510,
        ok=5503,
        other_answer=4,
        other_answer_but_stored=2,
        unanswered=3,
        unanswered_but_stored=1,
        missing={KAFKA: 0, ARCHIVE: 2, POSTGRES: 0},
        changed=1,
        listed=["a", "b"],
    )
    lines = printed(a_report(ledger=ledger), width=200)
    assert (
        "ledger: 5503 answered OK (missing: Kafka 0, archive 2, rows in PostgreSQL 0), 1 changed,"
        " 4 with another answer (2 of them stored), 3 unanswered (1 of them stored)"
    ) in lines
    assert "ledger, missing or changed: a, b" in lines
    assert lines[-1] == "faults: 2 missing, 1 changed"
