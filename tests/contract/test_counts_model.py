"""
The counts of generated callbacks are those of a plain model, however they came to be counted.

They are cut into any batches and counted by several members, of which some have lost their
partition; a batch comes again; Valkey is emptied, or restored from an older copy.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from support.builders import MAD_TIMES, a_callback
from support.count_model import Model, Window
from support.counting import counting
from valkey import Valkey

from consumers.counters import batch_sums, layout
from consumers.counters.counts import CountersHandler
from consumers.counters.hashes import Hashes
from consumers.counters.zones import Zones
from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import PositionDiffers
from schemas import outgoing_record as wire
from schemas.callback_record import place
from schemas.figures import COMMAND, PEOPLE

PARTITIONS = (Partition("tim.callbacks.v1", 0), Partition("tim.callbacks.v1", 1))
# Half-hour and quarter-hour zones, and three whose clocks change within the generated days.
ZONES = (
    *("Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Europe/Berlin"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns", "UTC", "Pacific/Apia"),
)
CHANGES = (
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
)
DAY_S = 24 * 3600
REMEMBER_S = 3 * DAY_S
EXACT_MAX = 15


def document(chance: random.Random, received_s: int) -> dict[str, Any]:
    """Return the body of any callback."""
    people = [f"u{chance.randrange(25)}" for _ in range(2)]
    kind = chance.choices(("c2c", "group", "state", "join", "new", "push"), (8, 4, 2, 1, 1, 1))[0]
    sent_s = received_s - round(
        chance.choice((0, 0, 0, 1, 1, -1)) * chance.expovariate(1 / chance.choice((60, 9 * DAY_S)))
    )
    time: Any = sent_s if chance.random() < 0.9 else chance.choice(MAD_TIMES)
    unique = f"{chance.getrandbits(40)}"
    if kind in {"c2c", "group"}:
        made = {
            "CallbackCommand": f"{'C2C' if kind == 'c2c' else 'Group'}.CallbackAfterSendMsg",
            "From_Account": chance.choice((*people, "@RBT#1", "administrator")),
            "MsgKey": f"{unique}_1_2",
            "MsgTime": time,
            "OnlineOnlyFlag": chance.choice((0, 0, 0, 1)),
            "SendMsgResult": chance.choice((0, 0, 20006)),
            "MsgBody": [
                {"MsgType": chance.choice(("TIMTextElem", "TIMFaceElem", "New"))}
                for _ in range(chance.choice((1, 1, 2)))
            ],
        }
        return made | (
            {"To_Account": people[1]} if kind == "c2c" else {"GroupId": f"g{chance.randrange(4)}"}
        )
    other: dict[str, dict[str, Any]] = {
        "state": {
            "CallbackCommand": "State.StateChange",
            "Info": {"Action": chance.choice(("Login", "Logout")), "To_Account": people[0]},
        },
        "join": {
            "CallbackCommand": "Group.CallbackAfterNewMemberJoin",
            "GroupId": "g",
            "NewMemberList": [{}] * chance.randrange(4),
        },
        "new": {"CallbackCommand": f"New.Command{chance.randrange(3)}"},
        "push": {"CallbackCommand": "Push.OfflinePush"},
    }
    dated = {} if kind == "push" else {"EventTime": sent_s * 1000}
    return other[kind] | dated | {"RequestId": unique}


def stream(chance: random.Random, apps: list[str], number: int) -> dict[Partition, list[Record]]:
    """Return records by partition; those of one conversation are in one partition, as in Kafka."""
    by_partition: dict[Partition, list[Record]] = {partition: [] for partition in PARTITIONS}
    begin_s = int(chance.choice(CHANGES).timestamp()) + chance.randrange(-DAY_S, DAY_S)
    sent: list[tuple[str, str, dict[str, Any], int]] = []
    for at in range(number):
        received_s = begin_s + at * chance.choice((1, 20))
        if sent and chance.random() < 0.1:
            # A repeat: the same request again, within an hour.
            app, platform, body, first_s = chance.choice(sent[-20:])
            received_s = first_s + chance.randrange(3600)
        else:
            app, platform = chance.choice(apps), chance.choice(("iOS", "", "RESTAPI", "Vision"))
            body = document(chance, received_s)
            sent.append((app, platform, body, received_s))
        callback = a_callback(
            json.dumps(body).encode(),
            sdkappid=app,
            opt_platform=platform,
            received_at_ms=received_s * 1000 + chance.randrange(1000),
        )
        made = wire.main_topic_record(callback)
        partition = PARTITIONS[sum(made.key or b"") % 2]
        records = by_partition[partition]
        offset = records[-1].offset + chance.choice((1, 1, 1, 2)) if records else 0
        origin = f"origin{partition.number}"
        headers = tuple(wire.with_place_and_id(made.headers, origin, len(records) + 1))
        records.append(Record(offset, callback.received_at_ms, made.key, made.value, headers))
    return by_partition


class Copy:
    """A copy of everything in Valkey."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._keys = [
            (key, valkey.dump(key), valkey.execute_command("PEXPIRETIME", key))
            for key in valkey.scan_iter("*")
        ]

    def restore(self) -> None:
        """Make Valkey as it was."""
        self._valkey.flushall()
        for key, dumped, ends_at_ms in self._keys:
            self._valkey.execute_command("RESTORE", key, max(ends_at_ms, 0), dumped, "ABSTTL")


class Members:
    """Members of the group, each with the offsets at which it believes to be."""

    def __init__(
        self, members: list[CountersHandler], streams: dict[Partition, list[Record]]
    ) -> None:
        self._members = members
        self._streams = streams
        self._at: list[dict[Partition, int]] = [{} for _ in members]

    async def assign(self, member: int, partition: Partition) -> None:
        """Make a member own a partition, as the runtime does."""
        handler = self._members[member]
        position = await handler.position(partition)
        if position is None:
            await handler.store_first_position(partition, Position(0))
            position = await handler.position(partition)
        assert position is not None
        self._at[member][partition] = position.next_offset

    async def step(self, member: int, partition: Partition, size: int) -> None:
        """Have a member count its next batch, also if it has lost the partition."""
        if partition not in self._at[member]:
            await self.assign(member, partition)
        begins_at = self._at[member][partition]
        records = [each for each in self._streams[partition] if each.offset >= begins_at][:size]
        if not records:
            # An idle member asks for its position again and again.
            await self.assign(member, partition)
            return
        last = records[-1]
        reached = Position(last.offset + 1, (last.offset, *place(last.headers)))
        batch = Batch(partition=partition, begins_at=begins_at, reached=reached, records=records)
        try:
            await self._members[member].handle(batch)
        except PositionDiffers:
            await self.assign(member, partition)
        else:
            self._at[member][partition] = reached.next_offset

    async def is_done(self, partition: Partition) -> bool:
        """Return whether Valkey has all of a partition."""
        position = await self._members[0].position(partition)
        stream = self._streams[partition]
        return not stream or (position is not None and position.next_offset > stream[-1].offset)


async def count_somehow(
    chance: random.Random, valkey: Valkey, streams: dict[Partition, list[Record]], zones: Zones
) -> None:
    """Count all records, with everything that may happen meanwhile."""
    url = f"valkey://127.0.0.1:{valkey.get_connection_kwargs()['port']}/0"
    async with AsyncExitStack() as opened:

        def member() -> CountersHandler:
            made = counting(
                url,
                zones=zones,
                remember_s=REMEMBER_S,
                people_exact_max=EXACT_MAX,
                conversations_max=10_000,
            )
            opened.push_async_callback(made.close)
            return made

        members = [member() for _ in range(3)]
        group = Members(members, streams)
        copy = Copy(valkey)
        for _ in range(chance.randrange(10, 60)):
            await asyncio.gather(
                *(
                    group.step(chance.randrange(3), partition, chance.randrange(1, 40))
                    for partition in PARTITIONS
                )
            )
            what = chance.random()
            if what < 0.1:
                copy = Copy(valkey)
            elif what < 0.2:
                copy.restore()
            elif what < 0.22:
                valkey.flushall()
            elif what < 0.3:
                replaced = chance.randrange(3)
                members[replaced] = member()
            elif what < 0.4:
                await group.assign(chance.randrange(3), chance.choice(PARTITIONS))
        for partition in PARTITIONS:
            while not await group.is_done(partition):
                await group.step(chance.randrange(3), partition, chance.randrange(1, 100))


def stored(valkey: Valkey, kind: str) -> dict[str, Counter[str]]:
    """Return the hashes of a kind, without its prefix."""
    prefix = f"{layout.prefix(1)}{kind}:"
    hashes_by_key: dict[str, Counter[str]] = {}
    for key in valkey.scan_iter(prefix + "*"):
        fields: dict[bytes, bytes] = valkey.execute_command("HGETALL", key)
        hashes_by_key[key.decode().removeprefix(prefix)] = Counter(
            {name.decode(): int(value) for name, value in fields.items()}
        )
    return hashes_by_key


def by_field(
    windows: dict[Any, Window], key: Callable[[Any], str], field: Callable[[Any, str], str]
) -> dict[str, Counter[str]]:
    """Return the model's sums as Valkey has them."""
    sums_by_key: dict[str, Counter[str]] = {}
    for window, counted in windows.items():
        fields = sums_by_key.setdefault(key(window), Counter())
        for figure, number in counted.sums.items():
            if number:
                fields[field(window, figure)] += number
    return sums_by_key


def check(valkey: Valkey, model: Model) -> int:
    """Compare all that Valkey has with the model; return the number of compared windows."""
    minutes = by_field(
        model.minutes,
        lambda w: f"{w[0]}:{w[1]:%Y%m%dT%H}",
        lambda w, figure: f"{w[1]:%M}:{figure}",
    )
    minutes = {
        key: Counter({name: n for name, n in fields.items() if COMMAND not in name})
        for key, fields in minutes.items()
    }
    for (app, at), window in model.minutes.items():
        if active := len(window.people["active"]):
            minutes[f"{app}:{at:%Y%m%dT%H}"][f"{at:%M}:active"] = active
    assert stored(valkey, "minutes") == minutes
    quarters = by_field(
        model.quarters,
        lambda w: f"{w[0]}:{w[1]:%Y%m%d}",
        lambda w, figure: f"{(w[1].hour * 60 + w[1].minute) // 15:02}:{figure}",
    )
    assert stored(valkey, "quarters") == quarters
    days = by_field(
        model.days, lambda w: f"{w[0]}:{w[1][:7]}", lambda w, figure: f"{w[1][8:]}:{figure}"
    )
    for (app, date), window in model.days.items():
        fields = days[f"{app}:{date[:7]}"]
        for figure, people in window.exact.items():
            if people:
                fields[f"{date[8:]}:{figure}"] = min(len(people), EXACT_MAX)
            if len(people) > EXACT_MAX:
                fields[f"{date[8:]}:sketched:{figure}"] = 1
        for figure in window.is_late:
            fields[f"{date[8:]}:sketched:{figure}"] = 1
    assert stored(valkey, "days") == days
    totals = wanted_totals(model)
    assert stored(valkey, "totals") == totals
    return check_sketches(valkey, model) + sum(map(len, (minutes, quarters, days, totals)))


def wanted_totals(model: Model) -> dict[str, Counter[str]]:
    """Return the model's totals as Valkey has them."""
    totals = by_field(model.totals, str, lambda _, figure: figure)
    for app, window in model.totals.items():
        # The counters keep the number of names that are not known.
        if names := sum(name.startswith("command:New.") for name in totals[app]):
            totals[app]["command_names"] = names
        if people := len(window.people["active"]):
            totals[app]["active"] = min(people, EXACT_MAX)
        if people > EXACT_MAX:
            totals[app]["sketched:active"] = 1
    return totals


def at_quarter(at: datetime) -> int:
    """Return the number of a quarter hour since 1970."""
    return int(at.timestamp()) // 900


def check_sketches(valkey: Valkey, model: Model) -> int:
    """Compare each sketch with one of exactly the model's people, which has the same registers."""
    hashes = Hashes(valkey.execute_command("GET", layout.secret(1)) or b"")
    keys: list[tuple[Window, Callable[[str], str]]] = []
    for (app, at), window in model.quarters.items():
        keys.append((window, partial(layout.quarter_sketch, 1, app=app, quarter=at_quarter(at))))
    for (app, date), window in model.days.items():
        keys.append((window, partial(layout.day_sketch, 1, app=app, date=date)))
    for (app, month), window in model.months.items():
        keys.append((window, partial(layout.month_sketch, 1, app=app, date=month)))
    for app, window in model.totals.items():
        keys.append((window, partial(layout.total_sketch, 1, app=app)))
    compared = 0
    for window, key in keys:
        for figure, roles in PEOPLE.items():
            estimate = valkey.pfcount(*map(key, roles))
            valkey.delete("wanted")
            if people := window.people[figure]:
                valkey.pfadd("wanted", *map(hashes.of_account, people))
            assert estimate == valkey.pfcount("wanted"), (key(roles[0]), figure, people)
            compared += 1
    valkey.delete("wanted")
    return compared


@pytest.mark.timeout(900)
async def test_counts_are_those_of_a_plain_model(
    valkey_url: str,
    scaled: Callable[..., int],
    say: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every figure of every minute, quarter hour, day, month and of all time."""
    compared = callbacks = 0
    seeds = scaled(5, at_most=36)
    with Valkey.from_url(valkey_url) as valkey:
        for seed in range(seeds):
            chance = random.Random(seed)  # noqa: S311 - traffic, not secrets
            valkey.flushall()
            apps = ["1400000001", "1400000002"]
            zones = {app: chance.choice(ZONES) for app in apps}
            streams = stream(chance, apps, chance.randrange(50, 400))
            # In some runs a batch takes several calls of the script.
            monkeypatch.setattr(batch_sums, "COST_MAX", chance.choice((400, 10_000)))
            await count_somehow(chance, valkey, streams, Zones("UTC", zones))
            model = Model(zones, REMEMBER_S)
            for records in streams.values():
                model.count(records)
                callbacks += len(records)
            compared += check(valkey, model)
    say(f"{seeds} seeds, {callbacks} callbacks, {compared} windows and sketches compared")
