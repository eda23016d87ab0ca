"""An audit reads the days of the statistics from the real API, in pages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestServer
from support.builders import APP, P0, a_body, a_stored_batch, a_stored_record
from support.counting import LONG, counting
from support.statistics import statistics_api

from consumers.counters.server import connect
from consumers.runtime.batch import Position
from consumers.stats.tokens import Tokens
from ops.audit import days_reader
from ops.audit.shown_days import Numbers
from ops.audit.sources import AuditFailed
from ops.audit.statistics_api import StatisticsApi, read_statistics, read_token
from schemas.setting import Secret

SHANGHAI = ZoneInfo("Asia/Shanghai")


async def test_all_days_are_read_in_pages(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first day on; a page has two days, and the last ones are empty."""
    monkeypatch.setattr(days_reader, "DAYS_PER_ANSWER", 2)
    counts = counting(valkey_url, **LONG)
    now = datetime.now(UTC)
    sent = [now - timedelta(days=days) for days in (5, 3, 3, 0)]
    valkey = connect(Secret(valkey_url))
    async with TestServer(statistics_api(valkey)) as server:
        url = StatisticsApi(str(server.make_url("")).rstrip("/"))
        assert await days_reader.read_days(url) == {}
        await counts.store_first_position(P0, Position(0))
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
        days_by_app = await days_reader.read_days(url)
    await valkey.aclose()
    await counts.close()
    first, second, _, last = (at.astimezone(SHANGHAI).date().isoformat() for at in sent)
    assert (days_by_app[APP].zone, days_by_app[APP].first) == ("Asia/Shanghai", first)
    assert days_by_app[APP].last > last
    assert days_by_app[APP].numbers == {
        first: Numbers(1, 1),
        second: Numbers(1, 2),
        last: Numbers(1, 1),
    }


async def test_an_api_with_tokens_is_read_with_one_of_them(valkey_url: str, tmp_path: Path) -> None:
    """Without one, or with another one, the error says what to do, and nothing waits."""
    tokens, right, wrong = tmp_path / "tokens", tmp_path / "right", tmp_path / "wrong"
    tokens.write_text('audit = "a-token-of-the-audit"\n')
    right.write_text("a-token-of-the-audit\n")
    wrong.write_text("a-token-of-somebody-else")
    valkey = connect(Secret(valkey_url))
    async with TestServer(statistics_api(valkey, tokens=Tokens(tokens))) as server:
        url = str(server.make_url("")).rstrip("/")
        statistics = await read_statistics(StatisticsApi(url, read_token(right)))
        assert statistics.messages == 0
        assert await days_reader.read_days(StatisticsApi(url, read_token(right))) == {}
        with pytest.raises(AuditFailed, match="with --stats-token-file"):
            await read_statistics(StatisticsApi(url))
        with pytest.raises(AuditFailed, match="refuses the token of --stats-token-file"):
            await days_reader.read_days(StatisticsApi(url, read_token(wrong)))
    await valkey.aclose()


@pytest.mark.parametrize("text", ["", "\n", 'page = "a-token-of-the-page"', "a" * 300, "é" * 20])
def test_a_file_that_does_not_have_one_token_alone_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file, and does not show what it has."""
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(AuditFailed, match=f"--stats-token-file: {file}") as refused:
        read_token(file)
    assert "a-token" not in str(refused.value)
