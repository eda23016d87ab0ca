"""The counts in Valkey, as the API shows them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from support.statistics import statistics_api
from valkey import Valkey

from consumers.counters.counts import CountersHandler
from consumers.counters.server import connect
from consumers.runtime.batch import Position, Record
from consumers.runtime.handler import Stopped, Unavailable
from ops.counters.generations import Generations
from schemas.figures import KINDS
from schemas.setting import Secret

# The time of receipt of the builders' records, 22:13:20.123.
MINUTE = datetime(2023, 11, 14, 22, 13, tzinfo=UTC)
A_MINUTE_MS = 60_000
RECEIVED_MS = 1_700_000_000_123
# Real messages, with the kinds as which each is counted and the people whom it makes active.
CASES: list[tuple[dict[str, Any], str, dict[str, int]]] = [
    ({}, "iOS", {"one_to_one_messages": 1, "people": 2}),
    (
        {"SendMsgResult": 20006, "ErrorInfo": "refused", "UnreadMsgNum": -1},
        "iOS",
        {"one_to_one_messages": 1, "undelivered": 1, "people": 2},
    ),
    ({"OnlineOnlyFlag": 1}, "iOS", {"online_only": 1}),
    (
        {"From_Account": "administrator"},
        "RESTAPI",
        {"one_to_one_messages": 1, "by_app": 1, "people": 1},
    ),
    ({"From_Account": "administrator"}, "", {"one_to_one_messages": 1, "by_app": 1, "people": 1}),
    ({"From_Account": "ops-17"}, "RESTAPI", {"one_to_one_messages": 1, "by_app": 1, "people": 1}),
    (
        {"From_Account": "@RBT#case"},
        "RESTAPI",
        {"one_to_one_messages": 1, "by_robots": 1, "people": 1},
    ),
    ({"From_Account": "@RBT#case"}, "", {"one_to_one_messages": 1, "by_robots": 1, "people": 1}),
    ({"To_Account": "@RBT#case"}, "Android", {"one_to_one_messages": 1, "people": 1}),
]


@dataclass(slots=True)
class Bench:
    """Counts and the API that reads them; each batch follows the one before."""

    counts: CountersHandler
    api: TestClient[Any, Any]
    url: str
    reached: int = 0

    async def count(self, *bodies: bytes, **fields: Any) -> None:
        """Apply a batch with these bodies."""
        records: list[Record] = [
            a_stored_record(self.reached + at, body, **fields) for at, body in enumerate(bodies)
        ]
        await self.counts.handle(a_stored_batch(*records))
        self.reached += len(bodies)

    async def ask(self, path: str, status: int = 200) -> dict[str, Any]:
        """Return the API's answer."""
        async with self.api.get(path) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == status, answer
            return answer

    async def minute(self, at: datetime = MINUTE, app: str = "") -> tuple[int, int, int]:
        """Return messages, group messages and people of one minute."""
        end = at.replace(minute=at.minute + 1)
        asked = f"/v1/minutes?from={at:%Y-%m-%dT%H:%MZ}&to={end:%Y-%m-%dT%H:%MZ}"
        (minute,) = (await self.ask(asked + (f"&app={app}" if app else "")))["minutes"]
        assert minute.pop("minute") == f"{at:%Y-%m-%dT%H:%M:%SZ}"
        return (minute["one_to_one_messages"], minute["group_messages"], minute["people"])


@pytest.fixture
async def bench(valkey_url: str) -> AsyncIterator[Bench]:
    """Yield empty counts and their API."""
    async with bench_at(Secret(valkey_url), people_exact_max=1000) as made:
        yield made


@asynccontextmanager
async def bench_at(url: Secret, *, people_exact_max: int) -> AsyncIterator[Bench]:
    """Yield counts and an API on a Valkey."""
    counts = counting(url, people_exact_max=people_exact_max)
    valkey = connect(url)
    async with TestClient(TestServer(statistics_api(valkey))) as client:
        await counts.store_first_position(P0, Position(0))
        yield Bench(counts, client, url)
    await valkey.aclose()
    await counts.close()


def message(key: str, sender: str, recipient: str, **fields: Any) -> bytes:
    """Return a C2C message's body."""
    return a_body(MsgKey=key, From_Account=sender, To_Account=recipient, **fields)


def group_message(key: str, sender: str) -> bytes:
    """Return a group message's body; a group is not a person."""
    command = "Group.CallbackAfterSendMsg"
    return a_body(
        CallbackCommand=command, MsgKey=key, From_Account=sender, To_Account=None, GroupId="@TGS#1"
    )


async def test_messages_and_distinct_people_are_counted(bench: Bench) -> None:
    """They are counted by minute and in total, in one batch and over two batches."""
    await bench.count(message("1", "a", "b"), message("2", "b", "a"), group_message("3", "c"))
    await bench.count(message("4", "a", "d"))
    assert await bench.minute() == (3, 1, 4)
    totals = await bench.ask("/v1/totals")
    assert (totals["one_to_one_messages"], totals["group_messages"], totals["people"]) == (3, 1, 4)
    assert totals["people_error"] == 0.0
    assert totals["by_command"] == {
        "C2C.CallbackAfterSendMsg": 3,
        "Group.CallbackAfterSendMsg": 1,
    }


@pytest.mark.parametrize(("fields", "platform", "right"), CASES)
async def test_each_kind_of_message_has_its_count_in_the_totals_and_in_its_minute(
    bench: Bench, fields: dict[str, Any], platform: str, right: dict[str, int]
) -> None:
    """The counts of all other kinds are 0."""
    document = {"MsgSeq": 901, "MsgRandom": 77, "MsgTime": 1_700_000_000, "SendMsgResult": 0}
    accounts = {"From_Account": "case-a", "To_Account": "case-b", "OnlineOnlyFlag": 0}
    await bench.count(a_body(**document | accounts | fields), opt_platform=platform)
    expected = dict.fromkeys((*KINDS, "people"), 0) | right
    totals = await bench.ask("/v1/totals")
    assert {name: totals[name] for name in expected} == expected
    minutes = (await bench.ask(f"/v1/minutes?to={MINUTE:%Y-%m-%dT%H}:14Z"))["minutes"]
    assert {name: minutes[-1][name] for name in expected} == expected
    assert totals["by_command"] == {"C2C.CallbackAfterSendMsg": 1}


async def test_kinds_are_added_up_over_apps(bench: Bench) -> None:
    """The API shows them for each app, too."""
    hint, refused = {"OnlineOnlyFlag": 1}, {"SendMsgResult": 5}
    await bench.count(message("1", "a", "b", **hint), message("2", "@RBT#1", "b", **refused))
    await bench.count(message("1", "a", "b", **refused), sdkappid="1400000002")
    totals = await bench.ask("/v1/totals")
    assert [totals[kind] for kind in KINDS] == [2, 0, 1, 2, 0, 1]
    assert [totals["apps"]["1400000001"][kind] for kind in KINDS] == [1, 0, 1, 1, 0, 1]
    assert [totals["apps"]["1400000002"][kind] for kind in KINDS] == [1, 0, 0, 1, 0, 0]


async def test_the_minute_is_that_of_receipt_in_utc(bench: Bench) -> None:
    """The next minute starts from 0, with people of its own."""
    await bench.count(message("1", "a", "b"))
    await bench.count(message("2", "a", "c"), received_at_ms=RECEIVED_MS + A_MINUTE_MS)
    assert await bench.minute() == (1, 0, 2)
    assert await bench.minute(MINUTE.replace(minute=14)) == (1, 0, 2)
    assert (await bench.ask("/v1/totals"))["people"] == 3


async def test_a_repeated_callback_is_counted_as_a_repeat(bench: Bench) -> None:
    """It may be in another batch, or hours later: the time of the message decides."""
    same = message("1", "a", "b", MsgTime=1_700_000_000)
    await bench.count(same, same)
    await bench.count(same, received_at_ms=RECEIVED_MS + 300 * A_MINUTE_MS)
    totals = await bench.ask("/v1/totals")
    assert (totals["one_to_one_messages"], totals["repeats"]) == (1, 2)
    assert totals["origins"]["o" * 16] == {str(P0): {"applied": 3, "sequence_sum": 6}}


async def test_a_repeated_message_without_a_time_is_counted_as_a_repeat(bench: Bench) -> None:
    """This holds even if the hour of receipt ends in between."""
    same = message("1", "a", "b")
    await bench.count(same)
    await bench.count(same, received_at_ms=RECEIVED_MS + 90 * A_MINUTE_MS)
    totals = await bench.ask("/v1/totals")
    assert (totals["one_to_one_messages"], totals["repeats"]) == (1, 1)


async def test_a_valkey_user_without_a_needed_permission_counts_nothing(bench: Bench) -> None:
    """A script is not rolled back, so it checks before its first write; the consumer waits."""
    with closing(Valkey.from_url(bench.url)) as valkey:
        valkey.execute_command("ACL", "SETUSER", "default", "-pfadd")
        try:
            with pytest.raises(Unavailable, match="PFADD"):
                await bench.count(message("1", "a", "b"))
        finally:
            valkey.execute_command("ACL", "SETUSER", "default", "+pfadd")
    assert (await bench.ask("/v1/totals"))["origins"] == {}
    await bench.count(message("1", "a", "b"))
    totals = await bench.ask("/v1/totals")
    assert (totals["one_to_one_messages"], totals["people"], totals["repeats"]) == (1, 2, 0)


async def test_a_position_of_another_version_stops_the_consumer(bench: Bench) -> None:
    """Such a position does not name its topic's id."""
    with closing(Valkey.from_url(bench.url)) as client:
        client.execute_command("HSET", "hookline:1:positions", str(P0), "0 4 aaaaaaaaaaaaaaaa 3")
    with pytest.raises(Stopped, match="written by another version"):
        await bench.counts.position(P0)
    with pytest.raises(Stopped, match="written by another version"):
        await bench.count(a_body())


async def test_counts_of_an_earlier_version_stop_the_consumer(bench: Bench) -> None:
    """They had no generation; nothing of them would be shown."""
    with closing(Valkey.from_url(bench.url)) as client:
        client.delete("hookline:1:positions")
        client.hset("hookline:positions", str(P0), "0 - - - -")
    with pytest.raises(Stopped, match="counts of an earlier version"):
        await bench.counts.position(P0)
    # What the error advises ends with another generation.
    with closing(Valkey.from_url(bench.url)) as client:
        client.set("hookline:generation", 2)
    assert await bench.counts.position(P0) is None


async def test_a_script_that_ended_half_way_stops_the_consumer(bench: Bench) -> None:
    """Here because of a key of another type; the applied half is never counted again."""
    with closing(Valkey.from_url(bench.url)) as valkey:
        valkey.execute_command("SET", "hookline:1:apps", "another program")
        with pytest.raises(Stopped, match="Another program writes keys"):
            await bench.count(message("1", "a", "b"))
        valkey.execute_command("DEL", "hookline:1:apps")
    with pytest.raises(Stopped, match="half-way"):
        await bench.count(message("1", "a", "b"))
    with pytest.raises(Stopped, match="hookline counters rebuild"):
        await bench.counts.position(P0)
    async with connect(Secret(bench.url)) as valkey:
        with pytest.raises(Stopped, match=f"counts of {P0} may be wrong.*--start-over"):
            await Generations(valkey).positions(1)


async def test_an_account_of_any_length_is_one_person(bench: Bench) -> None:
    """The counts keep a hash of every account."""
    await bench.count(message("1", "a" * 500_000, "b" * 129), message("2", "a" * 500_000, "c"))
    assert (await bench.ask("/v1/totals"))["people"] == 3
    with closing(Valkey.from_url(bench.url)) as valkey:
        bucket = "hookline:1:people:1400000001:0"
        assert valkey.execute_command("SCARD", bucket) == 3
        assert valkey.execute_command("OBJECT", "ENCODING", bucket) == b"intset"


async def test_other_commands_are_counted_by_name_alone(bench: Bench) -> None:
    """Their accounts do not count as people."""
    await bench.count(
        a_body(CallbackCommand="C2C.CallbackAfterMsgReport", MsgKey=None, EventTime=1),
        a_body(CallbackCommand="New.Command", MsgKey=None, EventTime=2),
    )
    totals = await bench.ask("/v1/totals")
    assert (totals["one_to_one_messages"], totals["people"]) == (0, 0)
    assert totals["by_command"] == {"C2C.CallbackAfterMsgReport": 1, "New.Command": 1}
    assert await bench.minute() == (0, 0, 0)


async def test_apps_are_counted_separately_and_added_up(bench: Bench) -> None:
    """The same account in two apps counts as two people."""
    await bench.count(message("1", "a", "b"))
    await bench.count(message("1", "a", "b"), sdkappid="1400000002")
    totals = await bench.ask("/v1/totals")
    assert (totals["one_to_one_messages"], totals["people"]) == (2, 4)
    assert {app: each["people"] for app, each in totals["apps"].items()} == {
        "1400000001": 2,
        "1400000002": 2,
    }
    assert await bench.minute() == (2, 0, 4)
    assert await bench.minute(app="1400000002") == (1, 0, 2)


async def test_a_message_without_accounts_is_counted(bench: Bench) -> None:
    """An empty account is not a person."""
    await bench.count(message("1", "", ""))
    assert await bench.minute() == (1, 0, 0)


async def test_above_the_bound_people_are_estimated_and_the_error_is_shown(
    valkey_url: str,
) -> None:
    """Memory stays bounded."""
    async with bench_at(Secret(valkey_url), people_exact_max=100) as bench:
        for at in range(20):
            await bench.count(
                *(message(f"{at}/{i}", f"s{at}/{i}", f"r{at}/{i}") for i in range(50))
            )
        totals = await bench.ask("/v1/totals")
    assert totals["people_error"] == 0.0081
    assert 2000 * 0.95 < totals["people"] < 2000 * 1.05
    with closing(Valkey.from_url(valkey_url)) as valkey:
        assert valkey.execute_command("SCARD", "hookline:1:people:1400000001:0") == 100


async def test_ids_and_minutes_expire_and_totals_stay(bench: Bench) -> None:
    """Ids and people by one setting, counts by others, totals never."""
    await bench.count(message("1", "a", "b"))
    with closing(Valkey.from_url(bench.url)) as valkey:
        keys = valkey.execute_command("KEYS", "*")
        left = {key.decode(): valkey.execute_command("TTL", key) for key in keys}
    expiring = {key: seconds for key, seconds in left.items() if seconds != -1}
    expected = {
        **dict.fromkeys(("ids", "minute-people", "minutes", "quarters", "quarter-sketch"), 7200),
        **dict.fromkeys(("days", "day-sketch", "month-sketch"), 86400),
        "day-people": 28 * 3600,
    }
    assert {key.split(":")[2] for key in expiring} == expected.keys()
    for key, seconds in expiring.items():
        ttl_s = expected[key.split(":")[2]]
        assert ttl_s - 180 < seconds <= ttl_s, key


async def test_the_api_returns_every_minute_of_the_range(bench: Bench) -> None:
    """Also over several hours, and empty minutes; by default the last hour."""
    await bench.count(message("1", "a", "b"))
    answer = await bench.ask("/v1/minutes?from=2023-11-14T21:50Z&to=2023-11-14T23:10:59Z")
    assert (answer["from"], answer["to"]) == ("2023-11-14T21:50:00Z", "2023-11-14T23:10:00Z")
    counted = [each["one_to_one_messages"] for each in answer["minutes"]]
    assert (len(counted), sum(counted), counted[23]) == (80, 1, 1)
    assert len((await bench.ask("/v1/minutes"))["minutes"]) == 60
    shifted = await bench.ask("/v1/minutes?from=2023-11-15T06:13%2B08:00&to=2023-11-14T22:14Z")
    assert [each["one_to_one_messages"] for each in shifted["minutes"]] == [1]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("from=yesterday", "from must be a time like"),
        ("to=2023-11-14T22:13", "to must be a time like"),
        ("to=0001-01-01T00:00%2B14:00", "from 1974 to 2099, not '0001-01-01T00:00+14:00'"),
        ("to=0001-01-01T00:00Z", "from 1974 to 2099"),
        ("to=9999-12-31T23:59-01:00", "from 1974 to 2099"),
        ("from=2023-11-14T22:13Z&to=2023-11-14T22:13Z", "must be 1 to 1440 minutes before"),
        ("from=2023-11-13T22:12Z&to=2023-11-14T22:13Z", "must be 1 to 1440 minutes before"),
        ("since=2023-11-14T22:13Z", "has no parameter 'since'; it has: app, from, to"),
    ],
)
async def test_a_wrong_request_is_answered_with_the_reason(
    bench: Bench, query: str, reason: str
) -> None:
    """Status 400, and a text that says how to change the request."""
    assert reason in (await bench.ask(f"/v1/minutes?{query}", status=400))["detail"]


async def test_an_unknown_path_or_method_is_answered_with_the_known_ones(bench: Bench) -> None:
    """The answer is JSON, like all others."""
    assert "/openapi.json" in (await bench.ask("/v2", status=404))["detail"]
    async with bench.api.post("/v1/totals") as response:
        assert response.status == 405
        assert (await response.json())["detail"] == "POST is not answered; use GET"
    async with bench.api.get("/livez") as response:
        assert response.status == 200
