"""The statistics API on a real Valkey, with counts that the real counters made."""

import csv
import io
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.counting import LONG, counting
from support.statistics import statistics_api
from valkey import Valkey

from consumers.counters import layout
from consumers.counters.counts import CountersHandler
from consumers.counters.server import connect
from consumers.runtime.batch import Position
from consumers.runtime.handler import Unavailable
from consumers.stats.tokens import Tokens
from consumers.stats.windows import zone_names
from schemas.setting import Secret

SHANGHAI = ZoneInfo("Asia/Shanghai")
# 22:07 in Shanghai. Clocks of Europe go forward in the night after it.
NOW = datetime(2026, 3, 28, 14, 7, 2, tzinfo=UTC)
APP, OTHER_APP = "1400000001", "1400000002"


@dataclass(slots=True)
class Bench:
    """Counters and the API that reads their counts."""

    counts: CountersHandler
    api: TestClient[Any, Any]
    reached: int = 0

    async def count(self, *messages: tuple[datetime, Mapping[str, Any]], **fields: Any) -> None:
        """Count messages, each sent at a time and received a second later."""
        records = [
            a_stored_record(
                self.reached + at,
                a_body(
                    **{
                        "MsgKey": f"{self.reached + at}",
                        "MsgTime": int(sent.timestamp()),
                        "From_Account": "a",
                        "To_Account": "b",
                        **message,
                    }
                ),
                received_at_ms=int(sent.timestamp() * 1000) + 1000,
                **fields,
            )
            for at, (sent, message) in enumerate(messages)
        ]
        await self.counts.handle(a_stored_batch(*records))
        self.reached += len(records)

    async def ask(self, path: str, status: int = 200, **headers: str) -> dict[str, Any]:
        """Return the API's answer."""
        async with self.api.get(path, headers=headers) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status == status, answer
            return answer

    async def csv(self, path: str) -> list[dict[str, str]]:
        """Return the lines of an answer in CSV."""
        async with self.api.get(f"{path}&format=csv") as response:
            assert response.status == 200
            assert response.content_type == "text/csv"
            return list(csv.DictReader(io.StringIO(await response.text())))


@asynccontextmanager
async def benches(
    url: str, *, bounds: Mapping[str, int] | None = None, **api: Any
) -> AsyncIterator[Bench]:
    """
    Yield empty counts and their API; estimates are the same in each run.

    The times of most tests are fixed, so the API shows the estimates of days of any age.
    """
    counts = counting(url, **{**LONG, **(bounds or {})})
    valkey = connect(Secret(url))
    # Else each run would have other hashes, two of which may count as one person.
    await valkey.set(layout.secret(layout.FIRST_GENERATION), "secret of the tests")
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("consumers.stats.series.DAY_SKETCHES_KEPT", timedelta(days=36_500))
            async with TestClient(TestServer(statistics_api(valkey, **api))) as client:
                await counts.store_first_position(P0, Position(0))
                yield Bench(counts, client)
    finally:
        # A connection that a failed test leaves open would fail a later one, too.
        await valkey.aclose()
        await counts.close()


@pytest.fixture
async def bench(valkey_url: str) -> AsyncIterator[Bench]:
    """Yield empty counts and their API."""
    async with benches(valkey_url) as made:
        yield made


def at(text: str) -> str:
    """Return a time as a parameter."""
    return quote(text)


async def test_a_series_has_every_figure_of_each_day(bench: Bench) -> None:
    """Days are those of the app; empty ones are there, too."""
    day = timedelta(days=1)
    await bench.count((NOW, {}), (NOW, {"SendMsgResult": 5}), (NOW - day, {"From_Account": "c"}))
    await bench.count((NOW, {"OnlineOnlyFlag": 1}))
    answer = await bench.ask("/v1/series?from=2026-03-26&to=2026-03-29")
    assert (answer["zone"], answer["step"], answer["app"]) == ("Asia/Shanghai", "day", None)
    assert (answer["from"], answer["to"]) == (
        "2026-03-26T00:00:00+08:00",
        "2026-03-29T00:00:00+08:00",
    )
    empty, yesterday, today = answer["rows"]
    assert set(empty["figures"].values()) == {0}
    assert yesterday["figures"]["messages"] == 1
    figures = today["figures"]
    assert [figures[name] for name in ("callbacks", "messages", "delivered", "undelivered")] == [
        *(3, 2, 1, 1)
    ]
    assert (figures["online_only"], figures["new_conversations"]) == (1, 1)
    assert yesterday["people"]["active"] == {"value": 2, "error": 0.0}
    assert today["people"]["senders"] == {"value": 1, "error": 0.0}
    assert today["people"]["groups_with_messages"] == {"value": 0, "error": 0.0}


@pytest.mark.parametrize("tz", ["PRC", "Asia/Chongqing", "Asia/Singapore"])
async def test_days_of_the_apps_zone_by_another_name_have_exact_people(
    bench: Bench, tz: str
) -> None:
    """So have days of a zone with the same midnights; those of Tokyo are estimated."""
    await bench.count((NOW, {}), (NOW, {"From_Account": "c"}))
    for path in (f"/v1/series?from=2026-03-28&to=2026-03-29&tz={tz}", "/v1/series?tz=Asia/Tokyo"):
        answer = await bench.ask(f"{path}&from=2026-03-28&to=2026-03-29" if "To" in path else path)
        (row,) = answer["rows"]
        exact = 0.0 if tz in path else 0.0081
        assert row["people"]["active"] == {"value": 3, "error": exact}
    summary = await bench.ask(f"/v1/summary?tz={tz}&at={at('2026-03-29T00:00:00+08:00')}")
    assert summary["yesterday"]["people"]["active"] == {"value": 3, "error": 0.0}


async def test_numbers_by_name_are_those_of_the_messages(bench: Bench) -> None:
    """By type, platform, command and app; names without messages are absent."""
    image = {"MsgBody": [{"MsgType": "TIMImageElem"}, {"MsgType": "New"}]}
    await bench.count((NOW, image), (NOW, {}), opt_platform="Android")
    await bench.count((NOW, {"CallbackCommand": "New.Command"}), sdkappid=OTHER_APP)
    await bench.count((NOW, image), sdkappid=OTHER_APP, opt_platform="ios")
    numbers = {}
    for by in ("type", "platform", "command", "app"):
        answer = await bench.ask(f"/v1/series?from=2026-03-28&to=2026-03-29&by={by}")
        (row,) = answer["rows"]
        numbers[by] = row["by"]
    assert numbers["type"]["TIMImageElem"] == numbers["type"]["other"] == 2
    assert numbers["platform"] == {"Android": 2, "iOS": 1}
    assert numbers["command"] == {"C2C.CallbackAfterSendMsg": 3, "other": 1}
    assert numbers["app"] == {APP: 2, OTHER_APP: 1}
    only = await bench.ask(f"/v1/series?from=2026-03-28&to=2026-03-29&by=app&app={OTHER_APP}")
    assert only["rows"][0]["by"] == {OTHER_APP: 1}


async def test_today_is_compared_with_the_same_time_of_other_days(bench: Bench) -> None:
    """To the minute; people to the quarter hour, which the answer says."""
    for days in (0, 1, 7):
        sent = NOW - timedelta(days=days)
        minute = timedelta(minutes=1)
        await bench.count(
            (sent - 10 * minute, {"From_Account": f"{days}"}),
            (sent - minute, {"From_Account": f"{days} late"}),
            (sent + minute, {"SendMsgResult": 5}),
        )
    asked = f"/v1/summary?at={at('2026-03-28T14:07:02Z')}"
    answer = await bench.ask(asked)
    messages = {name: answer[name]["figures"]["messages"] for name in PERIODS}
    assert messages == dict(zip(PERIODS, (2, 2, 3, 2, 3), strict=True))
    assert answer["yesterday"]["people"]["active"] == {"value": 4, "error": 0.0}
    for name in ("today", "yesterday_until_now", "last_week_until_now"):
        # Only with `at` has today the same span as the others.
        assert answer[name]["end"][10:] == "T22:07:00+08:00"
        assert answer[name]["people_until"][10:] == "T22:00:00+08:00"
    part = answer["last_week_until_now"]
    assert part["end"] == "2026-03-21T22:07:00+08:00"
    assert part["people_until"] == "2026-03-21T22:00:00+08:00"
    assert part["people"]["active"] == {"value": 2, "error": 0.0081}
    assert answer["now"] == {
        "messages_per_second": 0.02,
        "people": {"value": 2, "error": 0.0},
        "not_delivered_share": 0.0,
        "until": "2026-03-28T22:07:00+08:00",
    }
    line = answer["sparklines"]
    assert (len(line["messages"]), sum(line["messages"]), line["messages"][-1]) == (24, 3, 2)
    lines = await bench.csv(asked)
    assert [int(line["messages"]) for line in lines] == list(messages.values())


async def test_a_day_that_has_just_begun_has_nobody_yet(bench: Bench) -> None:
    """Neither has the same part of yesterday: it is shorter than a quarter hour."""
    await bench.count((NOW, {}))
    answer = await bench.ask(f"/v1/summary?at={at('2026-03-27T16:00:00Z')}&app={APP}")
    for name in ("today", "yesterday_until_now"):
        assert answer[name]["people"]["active"] == {"value": 0, "error": 0.0}


PERIODS = ("today", "yesterday_until_now", "yesterday", "last_week_until_now", "last_week")


async def test_the_people_of_a_range_are_a_union(bench: Bench) -> None:
    """Not the sum of its days; exact for one day of the app, else estimated."""
    for days in range(40):
        sent = NOW - timedelta(days=days)
        await bench.count((sent, {"From_Account": "same", "To_Account": f"{days}"}))
    range_ = await bench.ask("/v1/people?from=2026-02-18&to=2026-03-29")
    assert (range_["error"], range_["is_exact"]) == (0.0081, False)
    assert abs(range_["value"] - 40) <= 1
    one = await bench.ask("/v1/people?from=2026-03-28&to=2026-03-29&figure=senders")
    assert (one["value"], one["error"], one["is_exact"]) == (1, 0.0, True)
    assert one["figure"] == "senders"
    other_zone = await bench.ask("/v1/people?from=2026-03-28&to=2026-03-29&tz=America/New_York")
    assert (other_zone["value"], other_zone["is_exact"]) == (2, False)
    month = (await bench.ask("/v1/series?step=month&from=2026-02&to=2026-04"))["rows"]
    assert [row["people"]["active"] for row in month] == [
        {"value": 13, "error": 0.0081},
        {"value": 29, "error": 0.0081},
    ]


async def test_people_above_the_exact_bound_are_estimated(valkey_url: str) -> None:
    """A day shows its error, and has never more people than a range with it, or than all time."""
    async with benches(valkey_url, bounds={"people_exact_max": 100}) as bench:
        for part in range(10):
            await bench.count(
                *((NOW, {"From_Account": f"{part}/{i}", "To_Account": ""}) for i in range(100))
            )
        (row,) = (await bench.ask("/v1/series?from=2026-03-28&to=2026-03-29"))["rows"]
        day = row["people"]["active"]
        assert day["error"] == 0.0081
        assert abs(day["value"] - 1000) < 50
        assert (await bench.ask("/v1/summary"))["people_exact_max"] == 100
        range_ = await bench.ask("/v1/people?from=2026-03-01&to=2026-03-29")
        total = await bench.ask("/v1/totals")
        assert day["value"] <= range_["value"] <= total["people"]


async def test_totals_of_one_app_are_those_of_the_app_alone(bench: Bench) -> None:
    """The origins are those of all apps: a spool holds the callbacks of several apps."""
    await bench.count((NOW, {}), (NOW, {}))
    await bench.count((NOW, {"From_Account": "c"}), sdkappid=OTHER_APP)
    both = await bench.ask("/v1/totals")
    counts = {app: of_app["one_to_one_messages"] for app, of_app in both["apps"].items()}
    assert counts == {APP: 2, OTHER_APP: 1}
    for app in (APP, OTHER_APP):
        one = await bench.ask(f"/v1/totals?app={app}")
        assert one["apps"] == {app: both["apps"][app]}
        assert one | both["apps"][app] == one
        assert one["origins"] == both["origins"]
    assert both["one_to_one_messages"] == 3
    unknown = await bench.ask("/v1/totals?app=1400000009", status=404)
    assert unknown["parameter"] == "app"
    assert "app 1400000009 has no callbacks; /v1/apps lists" in unknown["detail"]


async def test_apps_are_listed_with_zone_and_first_day(bench: Bench) -> None:
    """Before the first callback, the list is empty."""
    assert await bench.ask("/v1/apps") == {"apps": []}
    now = datetime.now(UTC)
    await bench.count((now - timedelta(days=3), {}), (now, {}))
    first = (now - timedelta(days=3)).astimezone(SHANGHAI)
    assert await bench.ask("/v1/apps") == {
        "apps": [{"app": APP, "zone": "Asia/Shanghai", "first_day": f"{first:%Y-%m-%d}"}]
    }


@pytest.mark.parametrize(
    ("path", "status", "parameter", "bound"),
    [
        ("/v1/series?step=year", 400, "step", "one of: minute, hour, day, month"),
        ("/v1/series?tz=Mars", 400, "tz", "the IANA name of a time zone"),
        ("/v1/series?tz=../etc/passwd", 400, "tz", "the IANA name"),
        ("/v1/series?from=2026-13-01", 400, "from", "a month like 2026-11"),
        ("/v1/series?from=2026-03-29&to=2026-03-29", 400, "from", "before to"),
        ("/v1/series?from=2020-01-01&to=2026-01-01", 400, "from", "at most 400 days before to"),
        ("/v1/series?step=minute&by=command", 400, "by", "one of app, platform, type"),
        ("/v1/series?day=1", 400, "day", "one of: app, by, format, from, step, to, tz"),
        ("/v1/series?step=day&step=hour", 400, "step", "given once"),
        ("/v1/series?app=1", 404, "app", "an app of /v1/apps"),
        ("/v1/series?app=x", 400, "app", "an SdkAppid"),
        ("/v1/people?from=2001-01-01&to=2026-01-01", 400, "from", "at most 3660 days before"),
        ("/v1/people?figure=messages", 400, "figure", "one of: active, "),
        ("/v1/summary?at=noon", 400, "at", "a time like"),
        ("/v1/health?app=1400000001", 400, "app", "one of: tz"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_parameter_and_its_bound(
    bench: Bench, path: str, status: int, parameter: str, bound: str
) -> None:
    """As a problem of RFC 9457."""
    async with bench.api.get(path) as response:
        assert response.content_type == "application/problem+json"
        problem = await response.json(content_type=None)
    assert (response.status, problem["status"], problem["parameter"]) == (status, status, parameter)
    assert bound in problem["bound"]


async def test_what_is_not_kept_any_more_is_refused_and_not_shown_as_nothing(
    valkey_url: str,
) -> None:
    """Days of the app's own zone are kept longer. The counters store for how long."""
    day_s = 24 * 3600
    bounds = {
        "keep_minutes_s": 2 * day_s,
        "keep_quarters_s": 40 * day_s,
        "keep_days_s": 100 * day_s,
    }
    async with benches(valkey_url, bounds=bounds) as bench:
        await bench.count((datetime.now(UTC), {}))
        old, next_day = _days_ago(50), _days_ago(49)
        for asked, words in (
            ("step=hour", "at most 40 days ago for hours"),
            ("tz=Asia/Tokyo", "for days of another zone than the app's"),
            ("step=minute", "at most 2 days ago for minutes"),
        ):
            problem = await bench.ask(f"/v1/series?from={old}&to={next_day}&{asked}", status=400)
            assert words in problem["bound"]
        await bench.ask(f"/v1/series?from={old}&to={next_day}")
        for path in ("/v1/series?step=day&", "/v1/series?step=month&", "/v1/people?"):
            older = f"{datetime.now(UTC) - timedelta(days=140):%Y-%m}"
            problem = await bench.ask(f"{path}from={older}", status=400)
            assert problem["bound"].endswith("-01 or later for days and months")
        # Without `from`, months that are kept: of 100 days, those of the last 3 or 4.
        answer = await bench.ask("/v1/series?step=month")
        assert 3 <= len(answer["rows"]) <= 4
        assert (await bench.ask("/v1/series?step=hour"))["rows"]


async def test_a_longer_time_does_not_bring_back_what_has_expired(valkey_url: str) -> None:
    """When the counters keep hours longer, the API refuses older hours until there are some."""
    day_s = 24 * 3600
    async with benches(valkey_url, bounds={"keep_quarters_s": 2 * day_s}) as bench:
        await bench.count((datetime.now(UTC), {}))
        await bench.ask(f"/v1/series?step=hour&from={_days_ago(5)}", status=400)
        longer = counting(valkey_url, **{**LONG, "keep_quarters_s": 9 * day_s})
        await longer.position(P0)
        await bench.ask(f"/v1/series?step=hour&from={_days_ago(5)}", status=400)
        with closing(Valkey.from_url(valkey_url)) as valkey:
            stored = valkey.execute_command("HGET", "hookline:1:kept", "quarters").decode()
            seconds, before_s, changed_at_s = map(int, stored.split())
            assert (seconds, before_s) == (9 * day_s, 2 * day_s)
            valkey.hset(
                "hookline:1:kept", "quarters", f"{seconds} {before_s} {changed_at_s - 4 * day_s}"
            )
            await bench.ask(f"/v1/series?step=hour&from={_days_ago(5)}")
            # A shorter time holds at once.
            await bench.counts.position(P0)
            assert valkey.execute_command("HGET", "hookline:1:kept", "quarters") == b"172800"
            await bench.ask(f"/v1/series?step=hour&from={_days_ago(5)}", status=400)
            valkey.hset("hookline:1:kept", "quarters", "long")
            problem = await bench.ask("/v1/series", status=503)
            assert "HDEL hookline:1:kept quarters" in problem["detail"]
            with pytest.raises(Unavailable, match="HDEL hookline:1:kept quarters"):
                await longer.position(P0)
        await longer.close()


def _days_ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"


async def test_only_bearers_of_a_token_read_and_a_new_file_is_used(
    valkey_url: str, tmp_path: Path
) -> None:
    """The description and the probes need none."""
    file = tmp_path / "tokens.toml"
    file.write_text('page = "0123456789abcdef"\n')
    tokens = Tokens(file)
    async with benches(valkey_url, tokens=tokens) as bench:
        async with bench.api.get("/v1/apps") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
        await bench.ask("/v1/apps", 401, Authorization="Bearer 0123456789abcdeX")
        await bench.ask("/v1/apps", 401, Authorization="Basic 0123456789abcdef")
        await bench.ask("/v1/apps", Authorization="Bearer 0123456789abcdef")
        file.write_text('page = "fedcba9876543210"\n')
        await tokens.file.reread()
        await tokens.file.reread()
        await bench.ask("/v1/apps", 401, Authorization="Bearer 0123456789abcdef")
        await bench.ask("/v1/apps", Authorization="bearer fedcba9876543210")
        for path in ("/livez", "/readyz", "/openapi.json", "/metrics"):
            async with bench.api.get(path) as response:
                assert response.status == 200


async def test_a_page_of_an_allowed_origin_may_read(valkey_url: str) -> None:
    """Others get no header that would allow it."""
    async with benches(valkey_url, origins=("https://stats.example",)) as bench:
        for origin, allowed in (("https://stats.example", True), ("https://evil.example", False)):
            ours = {"Origin": origin}
            async with bench.api.get("/v1/apps", headers=ours) as response:
                assert response.headers.get("Access-Control-Allow-Origin") == (
                    origin if allowed else None
                )
                assert "Origin" in response.headers["Vary"]
            async with bench.api.options("/v1/apps", headers=ours) as response:
                assert response.status == (204 if allowed else 405)


async def test_an_answer_that_a_browser_has_is_not_sent_again(bench: Bench) -> None:
    """Until it changes."""
    async with bench.api.get("/v1/totals") as response:
        tag = response.headers["ETag"]
    async with bench.api.get("/v1/totals", headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    await bench.count((NOW, {}))
    async with bench.api.get("/v1/totals", headers={"If-None-Match": tag}) as response:
        assert response.status == 200


async def test_metrics_count_requests_by_route_and_never_by_path(bench: Bench) -> None:
    """So a scanner of paths cannot make labels."""
    for path in ("/v1/apps", "/v1/series?step=x", "/nothing/1", "/nothing/2"):
        async with bench.api.get(path):
            pass
    async with bench.api.get("/metrics") as response:
        text = await response.text()
    assert 'stats_requests_total{route="/v1/apps",status="200"}' in text
    assert 'stats_requests_total{route="/v1/series",status="400"}' in text
    assert 'route="other",status="404"' in text
    assert "nothing" not in text


# Zones with half and quarter hours, with and without changes of the clock, on both sides of the
# date line.
ZONES = (
    *("Asia/Shanghai", "UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata"),
    *("Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "Asia/Tehran"),
    *("America/St_Johns", "Australia/Eucla", "Pacific/Marquesas", "Pacific/Kiritimati"),
)


@pytest.mark.timeout(900)
async def test_minutes_hours_days_and_csv_agree_in_every_zone(
    bench: Bench, say: Callable[[str], None], scaled: Callable[..., int]
) -> None:
    """10,000 messages around a change of clocks, counted here again by each zone's own clock."""
    random_ = random.Random(7)  # noqa: S311 - data, no secret
    begin = datetime(2026, 3, 27, 12, tzinfo=UTC)
    times = [begin + timedelta(seconds=random_.randrange(3 * 86400)) for _ in range(10_000)]
    for first in range(0, len(times), 1000):
        await bench.count(
            *(
                (sent, {"From_Account": f"p{random_.randrange(3000)}"})
                for sent in times[first : first + 1000]
            )
        )
    others = sorted(zone_names() - set(ZONES))
    random_.shuffle(others)
    names = [*ZONES, *others[: scaled(10, at_most=45)]]
    total = (await bench.ask("/v1/totals"))["people"]
    compared = 0
    for name in names:
        zone = ZoneInfo(name)
        by_day = Counter(f"{sent.astimezone(zone):%Y-%m-%d}" for sent in times)
        by_hour = Counter(f"{sent.astimezone(zone):%Y-%m-%dT%H%z}" for sent in times)
        range_ = f"/v1/series?from=2026-03-26&to=2026-04-01&tz={name}"
        days = (await bench.ask(range_))["rows"]
        hours = (await bench.ask(f"{range_}&step=hour"))["rows"]
        assert {row["begin"][:10]: row["figures"]["messages"] for row in days} == {
            row["begin"][:10]: by_day[row["begin"][:10]] for row in days
        }, name
        shown_by_hour: Counter[str] = Counter()
        for row in hours:
            shown = datetime.fromisoformat(row["begin"])
            shown_by_hour[f"{shown:%Y-%m-%dT%H%z}"] += row["figures"]["messages"]
        assert +shown_by_hour == by_hour, name
        assert sum(shown_by_hour.values()) == sum(by_day.values()) == len(times)
        middle = days[3]
        minutes = (
            (
                await bench.ask(
                    f"/v1/series?step=minute&tz={name}&by=app&from={at(middle['begin'])}"
                    f"&to={at(middle['end'])}"
                )
            )["rows"]
            if len(days) == 6 and _minutes(middle) <= 1440
            else []
        )
        if minutes:
            assert sum(row["by"].get(APP, 0) for row in minutes) == middle["figures"]["messages"]
        for rows, step in ((days, "day"), (hours, "hour")):
            lines = await bench.csv(f"{range_}&step={step}")
            assert [(line["begin"], int(line["messages"])) for line in lines] == [
                (row["begin"].replace("Z", "+00:00"), row["figures"]["messages"]) for row in rows
            ]
        for row in days:
            assert row["people"]["active"]["value"] <= total * 1.05
        compared += len(days) + len(hours) + len(minutes)
    say(f"{len(names)} zones, {len(times)} messages, {compared} windows: 0 differences")


def _minutes(row: Mapping[str, str]) -> int:
    length = datetime.fromisoformat(row["end"]) - datetime.fromisoformat(row["begin"])
    return length // timedelta(minutes=1)
