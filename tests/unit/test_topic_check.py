"""The report of forwarded rows that Kafka does not have."""

import contextlib
import time
from pathlib import Path

import pytest
from support.builders import a_wire_record
from support.kafka.access import plaintext

from ingress.forward.cursor import Cursor
from ingress.forward.topic_check import TopicCheck
from ingress.spool.directory import hold_any
from ingress.spool.row import encode
from schemas.telemetry import INGRESS_METRICS


def reports() -> float:
    """Return the number of reports."""
    return INGRESS_METRICS.get_sample_value("ingress_cursor_mismatches_total") or 0


@pytest.mark.parametrize(
    ("cursor", "ids", "expected"),
    [
        (6, ("one", "one"), ""),
        # In quarantine, so it was never forwarded.
        (5, ("one", "one"), ""),
        (5, (None, "one"), ""),
        (3, ("one", "one"), "sequences 4 to 6 (2 callbacks) of origin"),
        (0, (None, None), "sequences 1 to 6 (5 callbacks) of origin"),
        (0, ("one", "two"), "its id was one and is two; sequences 1 to 6 (5 callbacks)"),
        (9, ("one", "two"), "is two; no row of origin"),
    ],
)
def test_only_rows_that_left_the_spool_and_are_not_in_kafka_are_reported(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    cursor: int,
    ids: tuple[str | None, str | None],
    expected: str,
) -> None:
    """The report names their sequences; without such rows there is none."""
    before = reports()
    with contextlib.closing(hold_any(tmp_path, bytes_max=1 << 20)) as spool:
        # A block is removed as a whole.
        spool.writer.commit([encode(a_wire_record(n), 1) for n in range(1, 7)], 0)
        spool.writer.commit([encode(a_wire_record(n), 1) for n in range(7, 10)], 0)
        spool.writer.quarantine(6)
        spool.writer.commit([], 5)
        assert spool.state.first_sequence == 7
        TopicCheck(plaintext("")).report(spool.state, Cursor(cursor, topic_id=ids[0] or ""), ids[1])
    assert reports() - before == bool(expected)
    assert expected in caplog.text
    assert bool(caplog.text) == bool(expected)


@pytest.mark.parametrize(
    ("age_h", "cursor", "quarantined", "is_reported"),
    [
        (30, 0, 0, True),
        (30, 0, 2, True),
        # A cursor that young has not expired: the rows were never forwarded.
        (2, 0, 0, False),
        (30, 2, 0, False),
        (30, 0, 3, False),
    ],
)
def test_old_rows_without_a_cursor_are_reported_although_none_has_left_the_spool(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    age_h: int,
    cursor: int,
    quarantined: int,
    is_reported: bool,
) -> None:
    """If they were forwarded before Kafka forgot the cursor, they are sent again."""
    before = reports()
    stored_at = time.time() - age_h * 3600
    with contextlib.closing(hold_any(tmp_path, bytes_max=1 << 20)) as spool:
        check = TopicCheck(plaintext(""))
        check.report(spool.state, Cursor(), "one")
        assert not caplog.text
        with monkeypatch.context() as then:
            then.setattr(time, "time", lambda: stored_at)
            spool.writer.commit([encode(a_wire_record(n), 1) for n in range(1, 4)], 0)
        spool.writer.commit([encode(a_wire_record(4), 1)], 0)
        for sequence in range(1, quarantined + 1):
            spool.writer.quarantine(sequence)
        for _ in range(2):
            check.report(spool.state, Cursor(cursor), "one")
    assert reports() - before == len(caplog.messages) == is_reported
    assert ("Kafka has no cursor of origin" in caplog.text) is is_reported


def test_rows_of_an_unknown_age_without_a_cursor_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A release that notes no hours has stored them, or the clock was set back."""
    with contextlib.closing(hold_any(tmp_path, bytes_max=1 << 20)) as spool:
        spool.writer.commit([encode(a_wire_record(), 1)], 0)
        TopicCheck(plaintext("")).report(spool.state._replace(hours=()), Cursor(), "one")
    assert "Kafka has no cursor of origin" in caplog.text


def test_a_change_is_reported_once_however_often_the_forwarder_connects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka's cursor names the former topic until a row is sent, which may take days."""
    before = reports()
    with contextlib.closing(hold_any(tmp_path, bytes_max=1 << 20)) as spool:
        spool.writer.commit([encode(a_wire_record(n), 1) for n in range(1, 7)], 0)
        spool.writer.commit([], 6)
        topic = TopicCheck(plaintext(""))
        for cursor, now, count in (
            (Cursor(6, topic_id="one"), "one", 0),
            (Cursor(6, topic_id="one"), "two", 1),
            (Cursor(6, topic_id="one"), "two", 1),
            (Cursor(6, topic_id="one"), "three", 2),
            # The cursor is lost, too, for instance with its topic.
            (Cursor(), "three", 3),
            (Cursor(), "three", 3),
            # Restored from a copy; and lost again.
            (Cursor(6, topic_id="three"), "three", 3),
            (Cursor(), "three", 4),
        ):
            topic.report(spool.state, cursor, now)
            assert reports() - before == count == len(caplog.messages)
