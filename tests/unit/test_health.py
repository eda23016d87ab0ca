"""The rate at which the spool fills, and the age of the oldest row."""

import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.builders import a_wire_record

from ingress.forward.forward_fault import ForwardFault
from ingress.health import IngressHealth
from ingress.http.answer_sender import AnswerSender
from ingress.http.failure_log import FailureLog
from ingress.spool.disk import Corrupt, DiskFailed
from ingress.spool.fullness import Fullness
from ingress.spool.row import DamagedCallback, DamagedRow, Row
from schemas.telemetry import INGRESS_METRICS


def test_the_time_until_the_spool_is_full_follows_from_the_last_minute() -> None:
    """It is infinite while the spool does not grow."""
    state = SimpleNamespace(used_bytes=0)
    parts: Any = SimpleNamespace(
        spool=SimpleNamespace(state=state),
        settings=SimpleNamespace(spool_bytes_max=1000, spool_dir=Path()),
    )
    no_part: Any = None
    health = IngressHealth(parts.spool, no_part, no_part, no_part, no_part, no_part, parts.settings)

    def full_in_s(now_s: float, used_bytes: int) -> float:
        state.used_bytes = used_bytes
        health.rates.note(now_s, {"used_bytes": used_bytes})
        return health.full_in_s()

    assert health.full_in_s() == math.inf
    assert full_in_s(0.0, 100) == math.inf
    assert full_in_s(10.0, 200) == 80.0
    assert full_in_s(20.0, 90) == math.inf
    assert full_in_s(30.0, 1200) == 0.0
    for at in range(100):
        full_in_s(100.0 + 2 * at, 500)
    assert health.full_in_s() == math.inf


@pytest.mark.parametrize(
    "fault", [DamagedCallback(DamagedRow("row 1", 1), 0), DiskFailed("disk"), Corrupt("file")]
)
async def test_an_oldest_row_that_cannot_be_read_is_not_the_same_as_none(fault: Exception) -> None:
    """An alert on the age must fire: callbacks wait, perhaps for long."""
    rows: list[Row] = []
    faults: list[Exception] = []

    def rows_after(*_: int, **__: int) -> list[Row]:
        for each in faults:
            raise each
        return rows

    state = SimpleNamespace(row_count=1, used_bytes=1, origin="o", last_sequence=1)
    parts: Any = SimpleNamespace(
        spool=SimpleNamespace(rows_after=rows_after, state=state, fault="", was_full=False),
        forwarder=SimpleNamespace(forwarded_sequence=0, fault=ForwardFault()),
        server=SimpleNamespace(
            open_connections=SimpleNamespace(all=set()),
            answer_sender=AnswerSender(FailureLog()),
            announces_stop=False,
        ),
        settings=SimpleNamespace(spool_bytes_max=10, spool_dir=Path()),
    )
    no_part: Any = None
    health = IngressHealth(
        parts.spool, parts.forwarder, no_part, no_part, parts.server, no_part, parts.settings
    )

    async def shown() -> float:
        await health.update_metrics()
        return INGRESS_METRICS.get_sample_value("ingress_oldest_waiting_seconds") or 0.0

    assert await shown() == 0
    rows.append(Row(1, int(time.time() * 1000) - 5000, a_wire_record(1)))
    assert 5 <= await shown() < 100
    faults.append(fault)
    assert await shown() == math.inf


def test_a_spool_that_was_full_has_room_again_only_well_below_its_bound() -> None:
    """Also if commits were refused below the bound."""
    fullness = Fullness(1000)

    def has_room(used_bytes: int, *, has_refused: bool = False) -> bool:
        fullness.note(used_bytes, has_refused=has_refused)
        return not fullness.was_full

    assert [has_room(940), has_room(999)] == [True, True]
    assert [has_room(990, has_refused=True), has_room(990), has_room(950)] == [False] * 3
    sizes = (949, 999, 1000, 951, 949)
    assert [has_room(size) for size in sizes] == [True, True, False, False, True]
    assert [has_room(500, has_refused=True), has_room(500)] == [True, True]


def test_an_ingress_is_unready_while_its_spool_fails_or_was_full() -> None:
    """The reason for a spool that was full names the share of the bound."""
    spool = SimpleNamespace(state=SimpleNamespace(used_bytes=960), fault="", was_full=False)
    parts: Any = SimpleNamespace(
        spool=spool,
        server=SimpleNamespace(announces_stop=False),
        settings=SimpleNamespace(spool_bytes_max=1000, spool_dir=Path()),
    )
    no_part: Any = None
    health = IngressHealth(
        parts.spool, no_part, no_part, no_part, parts.server, no_part, parts.settings
    )
    assert health.unready_reason() == ""
    spool.was_full = True
    assert "holds 960 of 1000 bytes; it is ready below 95%" in health.unready_reason()
    spool.fault = "the disk fails"
    assert health.unready_reason() == "the disk fails"
