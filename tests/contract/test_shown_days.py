"""An audit reads the days of the statistics from the real API, in pages."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestServer
from support.builders import APP, P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from support.statistics import statistics_api

from consumers.counters.server import connect
from consumers.runtime.batch import Position
from ops.audit import shown_days
from ops.audit.day_counts import Numbers
from schemas.setting import Secret

SHANGHAI = ZoneInfo("Asia/Shanghai")


async def test_all_days_are_read_in_pages(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first day on; a page has two days, and the last ones are empty."""
    monkeypatch.setattr(shown_days, "DAYS_PER_ANSWER", 2)
    counts = counting(
        valkey_url, keep_minutes_s=1 << 30, keep_quarters_s=1 << 30, keep_days_s=1 << 30
    )
    now = datetime.now(UTC)
    sent = [now - timedelta(days=days) for days in (5, 3, 3, 0)]
    valkey = connect(Secret(valkey_url))
    async with TestServer(statistics_api(valkey)) as server:
        url = str(server.make_url("")).rstrip("/")
        assert await shown_days.read_days(url) == {}
        await counts.begin(P0, Position(0))
        records = [
            a_stored_record(
                number,
                a_body(
                    MsgKey=str(number),
                    MsgTime=int(at.timestamp()),
                    OnlineOnlyFlag=int(number == 2),
                ),
                received_at_ms=int(at.timestamp() * 1000),
            )
            for number, at in enumerate(sent)
        ]
        await counts.handle(a_stored_batch(*records))
        found = await shown_days.read_days(url)
    await valkey.aclose()
    await counts.close()
    first, second, _, last = (at.astimezone(SHANGHAI).date().isoformat() for at in sent)
    assert (found[APP].zone, found[APP].first) == ("Asia/Shanghai", first)
    assert found[APP].last > last
    assert found[APP].numbers == {
        first: Numbers(1, 1),
        second: Numbers(1, 2),
        last: Numbers(1, 1),
    }
