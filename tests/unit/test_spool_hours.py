"""The hours of a spool say from which sequence on its callbacks were stored since an hour."""

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from support.builders import a_wire_record

from ingress.spool import hours
from ingress.spool.directory import hold_any, summaries
from ingress.spool.hours import (
    FirstRow,
    Hours,
    decode_hours,
    encode_hours,
    first_number_since,
    with_rows,
)
from ingress.spool.row import checksum, encode
from ingress.spool.spool import Spool
from ingress.spool.spool_file import HOURS, STATE
from ingress.spool.spool_lock import FILE_SUFFIX
from schemas.ingress_status import SpoolSummary

BYTES_MAX = 64 << 20


class Clock:
    """The clock of the ingress, in hours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hour = 1000.0
        monkeypatch.setattr("ingress.spool.hours.time.time", lambda: self.hour * hours.HOUR_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test sets."""
    return Clock(monkeypatch)


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Iterator[Spool]:
    """A new spool; `clock` comes first."""
    assert clock.hour
    made = hold_any(tmp_path, bytes_max=BYTES_MAX)
    yield made
    made.close()


def store(spool: Spool, count: int = 1) -> None:
    """Store callbacks."""
    rows = [encode(a_wire_record(number), number) for number in range(1, count + 1)]
    spool.writer.commit(rows, 0)


@contextmanager
def reopened(spool: Spool, tmp_path: Path) -> Iterator[Spool]:
    """Yield the spool after the process has ended and another one has started."""
    spool.close()
    with closing(hold_any(tmp_path, bytes_max=BYTES_MAX)) as again:
        yield again


def change_meta(spool: Spool, key: bytes, value: bytes) -> None:
    """Write into the file what this release would not write."""
    file = spool._opened()  # noqa: SLF001 - a fault of the disk, or of another release
    with file.env.begin(write=True) as txn:
        txn.put(key, value, db=file.meta)


def state_of_0_1(spool: Spool) -> bytes:
    """Return the state as release 0.1 writes it, which leaves the hours as they are."""
    content = msgspec.msgpack.encode(spool.state[:4])
    return checksum(b"state %s" % spool.name.encode(), content) + content


def test_the_first_sequence_since_an_hour(spool: Spool, tmp_path: Path, clock: Clock) -> None:
    """The next sequence if nothing was stored since; also after a restart, without rows."""
    store(spool, 2)
    clock.hour = 1002.5
    store(spool, 3)
    store(spool, 4)
    spool.writer.commit([], 9)
    with reopened(spool, tmp_path) as again:
        since = {hour: again.state.first_sequence_since(hour) for hour in range(999, 1005)}
    assert since == {999: 1, 1000: 1, 1001: 3, 1002: 3, 1003: 10, 1004: 10}


def test_a_new_spool_has_no_sequence_before_any_hour(spool: Spool) -> None:
    """So its first callback is required."""
    assert spool.state.first_sequence_since(1) == 1


def test_what_an_earlier_release_stored_is_not_known(
    spool: Spool, tmp_path: Path, clock: Clock
) -> None:
    """It notes no hours, so all hours up to the next one that is noted are in doubt."""
    store(spool)
    clock.hour = 1002
    store(spool)
    change_meta(spool, STATE, state_of_0_1(spool))
    with reopened(spool, tmp_path) as again:
        assert {again.state.first_sequence_since(hour) for hour in (1000, 1002, 1003)} == {None}
        clock.hour = 1003
        store(again)
        known = {hour: again.state.first_sequence_since(hour) for hour in (1002, 1003, 1004)}
    assert known == {1002: None, 1003: None, 1004: 4}


@pytest.mark.parametrize("change", ["removes", "new origin"])
def test_hours_from_before_an_earlier_release_do_not_come_back(
    spool: Spool, tmp_path: Path, clock: Clock, change: str
) -> None:
    """A process that only forwards, such as one that adopts the spool, writes the state, too."""
    store(spool)
    clock.hour = 1002
    store(spool, 5)
    change_meta(spool, STATE, state_of_0_1(spool))
    with reopened(spool, tmp_path) as again:
        if change == "removes":
            again.writer.commit([], 6)
        else:
            again.writer.start_new_origin()
        again.close()
        clock.hour = 1003
        with closing(hold_any(tmp_path, bytes_max=BYTES_MAX)) as later:
            assert firsts(later, range(1000, 1005)) == [None] * 5
            store(later)
            assert firsts(later, range(1002, 1005)) == [None, None, 8]


def test_hours_that_fail_their_checksum_are_not_known(spool: Spool, tmp_path: Path) -> None:
    """A wrong hour could be a false proof."""
    store(spool)
    stored = bytearray(encode_hours((FirstRow(1000, 1),), spool.name))
    stored[-1] ^= 1
    change_meta(spool, HOURS, bytes(stored))
    with reopened(spool, tmp_path) as again:
        assert again.state.first_sequence_since(1000) is None
    assert decode_hours(encode_hours((), "another"), spool.name) == ()


def test_a_new_origin_begins_with_its_own_first_row(spool: Spool, clock: Clock) -> None:
    """The rows before it are those of the former origin."""
    store(spool, 100)
    spool.writer.commit([], 100)
    clock.hour = 1001
    store(spool, 2)
    spool.writer.start_new_origin()
    assert (spool.last_sequence, spool.state.first_sequence_since(1000)) == (2, 1)
    assert [spool.state.first_sequence_since(hour) for hour in (1001, 1002)] == [1, 3]


def firsts(spool: Spool, since: range) -> list[int | None]:
    """Return the first sequence since each hour."""
    return [spool.state.first_sequence_since(hour) for hour in since]


@pytest.mark.parametrize("behind", [5, 1006])
def test_a_clock_that_is_behind_for_a_while_erases_no_hour(
    spool: Spool, tmp_path: Path, clock: Clock, behind: int
) -> None:
    """A machine without a clock of its own starts in 1970 and stores before the time is set."""
    for hour in (1007, 1008, 1009, behind):
        clock.hour = hour
        store(spool)
    # That nothing was stored since an hour is not known either, also not from the file's time.
    assert firsts(spool, range(1007, 1012)) == [None] * 5
    os.utime(tmp_path / f"{spool.name}{FILE_SUFFIX}", (behind * hours.HOUR_S, 0))
    with reopened(spool, tmp_path) as again:
        again.close()
        assert [_only(tmp_path, hour).first_sequence_since for hour in (1008, 1011)] == [None, None]
    with closing(hold_any(tmp_path, bytes_max=BYTES_MAX)) as again:
        for hour in (1010, 1011):
            clock.hour = hour
            store(again)
        assert firsts(again, range(1007, 1013)) == [None, None, None, None, 6, 7]


@pytest.mark.parametrize("set_back", [1, 2])
def test_after_a_clock_was_ahead_the_hours_until_it_is_reached_are_not_known(
    spool: Spool, clock: Clock, set_back: int
) -> None:
    """The clock may as well be behind now. An hour is within what an audit allows for."""
    for hour in (1000, 1003, 1003 - set_back, 1004, 1005):
        clock.hour = hour
        store(spool)
    # 1001: from then on all later hours are.
    assert (
        firsts(spool, range(1000, 1007))
        == {
            1: [1, 2, 2, 2, 4, 5, 6],
            2: [1, 2, None, None, None, 5, 6],
        }[set_back]
    )


def test_a_clock_that_was_far_ahead_is_forgotten(clock: Clock) -> None:
    """Or the spool would know no hour until then."""
    noted: Hours = ()
    known = []
    for number, hour in enumerate([999, 9000, *range(1000, 1000 + hours.HOURS_MAX)], 1):
        clock.hour = hour
        noted = with_rows(noted, number)
        known.append(first_number_since(noted, hour, base=0, last_number=number) == number)
    assert known == [True, True, *[False] * (hours.HOURS_MAX - 1), True]


def test_the_oldest_hour_is_forgotten_with_the_clock_that_was_behind_after_it(
    clock: Clock,
) -> None:
    """Or the hours until the clock was right again would seem to have no callbacks."""
    noted: Hours = ()
    for number, hour in enumerate([1009, 5, *range(1010, 1009 + hours.HOURS_MAX)], 1):
        clock.hour = hour
        noted = with_rows(noted, number)
    last = {"base": 0, "last_number": hours.HOURS_MAX + 1}
    since = {hour: first_number_since(noted, hour, **last) for hour in (1008, 1009, 1010, 1011)}
    assert since == {1008: None, 1009: None, 1010: None, 1011: 4}


def test_the_oldest_hours_are_forgotten(clock: Clock) -> None:
    """Then it is not known what was stored since them."""
    noted: Hours = ()
    for number in range(1, hours.HOURS_MAX + 2):
        noted = with_rows(noted, number)
        clock.hour += 1
    last = {"base": 0, "last_number": hours.HOURS_MAX + 1}
    assert first_number_since(noted, 1001, **last) is None
    assert first_number_since(noted, 1002, **last) == 3


@pytest.mark.parametrize("behind_share", [0, 0.02, 0.3])
@pytest.mark.parametrize("kept", [8, hours.HOURS_MAX])
def test_no_callback_since_an_hour_is_before_the_first_one(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, kept: int, behind_share: float
) -> None:
    """
    Also if the clock is far behind for moments, and however many hours are kept.

    A clock that only rises, or is set back by less than an hour, leaves no hour unknown.
    """
    monkeypatch.setattr(hours, "HOURS_MAX", kept)
    known = asked = 0
    for seed in range(10):
        chance = random.Random(seed)  # noqa: S311 - no secret
        noted: Hours = ()
        stored: list[float] = []
        now = 1000.0
        for number in range(1, 201):
            now += chance.choice((0, 0.1, 0.1, 0.3, 1, 7))
            is_behind = chance.random() < behind_share
            clock.hour = now - (chance.choice((30, 999)) if is_behind else 0)
            if not behind_share:
                clock.hour -= chance.choice((0, 0, 0.5))
            stored.append(now if is_behind else clock.hour)
            noted = with_rows(noted, number)
        for hour in range(999, int(now) + 3):
            first = first_number_since(noted, hour, base=0, last_number=200)
            since = [number for number, at in enumerate(stored, 1) if at >= hour]
            assert first is None or first <= min(since, default=201)
            known += first is not None
            asked += 1
    assert known > 0
    if kept > 8 and not behind_share:
        assert known == asked


def test_a_file_that_has_not_changed_since_has_no_later_callback(
    spool: Spool, tmp_path: Path
) -> None:
    """Also if an earlier release, which noted no hours, was the last one to store in it."""
    store(spool, 3)
    change_meta(spool, STATE, state_of_0_1(spool))
    spool.close()
    path = tmp_path / f"{spool.name}{FILE_SUFFIX}"
    os.utime(path, (1000 * hours.HOUR_S, 1000 * hours.HOUR_S))
    firsts = {hour: _only(tmp_path, hour).first_sequence_since for hour in (1000, 1001)}
    assert firsts == {1000: None, 1001: 4}


def test_the_hours_count_more_than_the_time_of_the_file(
    spool: Spool, tmp_path: Path, clock: Clock
) -> None:
    """A file server may have another clock than the ingress."""
    clock.hour = 1002
    store(spool, 3)
    spool.close()
    os.utime(tmp_path / f"{spool.name}{FILE_SUFFIX}", (1000 * hours.HOUR_S, 1000 * hours.HOUR_S))
    assert [_only(tmp_path, hour).first_sequence_since for hour in (1001, 1003)] == [1, 4]


def _only(directory: Path, since_hour: int) -> SpoolSummary:
    (summary,) = summaries(directory, since_hour)
    return summary
