"""Every figure of the statistics is what was sent, whichever part is killed meanwhile."""

import contextlib
import csv
import io
import json
import random
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from support.processes.blackbox import Demo, until
from support.processes.consumer import Consumer
from support.processes.counted_traffic import Callback, callbacks, send

# Other tests of this stack send callbacks of the demo's first app.
APPS = ("1400000002", "1400000003")
SHANGHAI, KATHMANDU = ZoneInfo("Asia/Shanghai"), ZoneInfo("Asia/Kathmandu")
STEPS = {
    "minute": timedelta(minutes=1440),
    "hour": timedelta(days=30),
    "day": timedelta(days=60),
    "month": timedelta(days=60),
}
# People of a day are exact if they were counted so long after its end (COUNTERS_REMEMBER_S).
EXACT = timedelta(days=8)
HOUR = timedelta(hours=1)


@pytest.mark.timeout(600)
def test_every_figure_is_exact_while_counters_and_valkey_are_killed(
    stack: Demo, tmp_path: Path, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """Totals, minutes, hours, days of two zones, JSON and CSV are those of the sent callbacks."""
    rounds, days = scaled(1, at_most=3), 2
    seed = time.time_ns()
    made = callbacks(random.Random(seed), APPS, days=days)  # noqa: S311 - traffic, not secrets
    disturbing = threading.Thread(target=disturb, args=[stack, rounds, tmp_path / "second.log"])
    disturbing.start()
    sent: list[Callback] = []
    while disturbing.is_alive():
        sent += send(made, stack.addresses["ingresses"], seconds=2)
    until_counted(stack, sum(1 + bool(callback.repeat) for callback in sent))
    compared = Counter[str]()
    for app in APPS:
        model = Model([callback for callback in sent if callback.app == app])
        check_totals(stack, app, model, compared)
        for zone in (SHANGHAI, KATHMANDU):
            # Minutes are the same in every zone.
            for step in STEPS if zone is SHANGHAI else ("hour", "day", "month"):
                check_series(stack, app, model, zone, step, compared)
    assert compared["numbers"] > 10_000
    say(
        f"{len(sent)} callbacks answered OK, {rounds} rounds of kills, seed {seed}: "
        f"{compared['numbers']} numbers of {compared['rows']} windows compared, 0 differences"
    )


def disturb(stack: Demo, rounds: int, log: Path) -> None:
    """Kill and start members of the counters and Valkey."""
    for _ in range(rounds):
        time.sleep(1)
        stack.kill("counters")
        time.sleep(2)
        with second_member(stack, log):
            time.sleep(2)
            stack.kill("valkey")
            time.sleep(3)
        stack.kill("valkey")
        stack.kill("counters")
        time.sleep(1)


@contextlib.contextmanager
def second_member(stack: Demo, log: Path) -> Iterator[None]:
    """Run another member of the counters, and kill it on exit."""
    kafka, valkey = stack.addresses["kafka"], stack.addresses["valkey"]
    member = Consumer("counters", kafka, log, valkey=valkey)
    member.launch()
    try:
        yield
    finally:
        member.kill()


def ask(stack: Demo, path: str, **parameters: str) -> Any:
    """Return the API's answer: JSON, or the rows of CSV."""
    url = f"{stack.addresses['stats']}{path}?{urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=180) as response:  # noqa: S310 - our own URL
        text = response.read().decode()
    if parameters.get("format") == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    return json.loads(text)


def until_counted(stack: Demo, number: int) -> None:
    """Return when as many callbacks are counted; if there are more, a comparison shows it."""

    def counted() -> bool:
        try:
            apps = ask(stack, "/v1/totals")["apps"]
        except OSError:  # Valkey is starting
            return False
        answered = [apps[app] for app in APPS if app in apps]
        shown = sum(sum(of["by_command"].values()) + of["repeats"] for of in answered)
        return bool(shown >= number)

    until(counted, f"{number} callbacks are counted")
    stack.audit("--wait", "180")


class Model:
    """What must be counted of one app: sums over the callbacks of a range."""

    def __init__(self, sent: list[Callback]) -> None:
        self.sent = sorted(sent, key=lambda callback: callback.at or 0)
        conversations: set[tuple[str, ...]] = set()
        # `sent` is in the order of sending within each conversation.
        for callback in sent:
            if callback.conversation and callback.conversation not in conversations:
                conversations.add(callback.conversation)
                callback.sums["new_conversations"] += 1
        self.hours: defaultdict[int, list[Callback]] = defaultdict(list)
        for callback in sent:
            assert callback.at is not None
            self.hours[callback.at // 3600].append(callback)

    def between(self, begin: datetime, end: datetime) -> list[Callback]:
        """Return the callbacks of a window."""
        first, last = int(begin.timestamp()), int(end.timestamp())
        return [
            callback
            for hour in range(first // 3600, last // 3600 + 1)
            for callback in self.hours.get(hour, ())
            if callback.at is not None and first <= callback.at < last
        ]


def sums(callbacks: list[Callback]) -> Counter[str]:
    """Return the numbers by figure."""
    total = Counter[str]()
    for callback in callbacks:
        total.update(callback.sums)
    return total


def by(callbacks: list[Callback], kind: str) -> dict[str, int]:
    """Return the numbers by name, of messages or of callbacks."""
    return dict(Counter(name for callback in callbacks for name in callback.by.get(kind, ())))


def people(callbacks: list[Callback], figure: str) -> int:
    """Return the number of distinct people."""
    pairs = {pair for callback in callbacks for pair in callback.people}
    return sum(of == figure for of, _ in pairs)


def check_totals(stack: Demo, app: str, model: Model, compared: Counter[str]) -> None:
    """Compare all that was counted of an app."""
    shown = ask(stack, "/v1/totals")["apps"][app]
    total = sums(model.sent)
    kinds = ("one_to_one_messages", "group_messages", "online_only", "undelivered")
    expected: dict[str, Any] = {kind: total[kind] for kind in (*kinds, "by_app", "by_robots")} | {
        "people": people(model.sent, "active"),
        "people_error": 0.0,
        "repeats": sum(bool(callback.repeat) for callback in model.sent),
        "by_command": dict(Counter(callback.command for callback in model.sent)),
    }
    assert {name: shown[name] for name in expected} == expected
    compared["numbers"] += len(expected) + len(expected["by_command"])


def check_series(  # noqa: PLR0917 - each is a part of the question
    stack: Demo, app: str, model: Model, zone: ZoneInfo, step: str, compared: Counter[str]
) -> None:
    """Compare all windows from the first callback to the last one, as JSON and as CSV."""
    begin, last = (datetime.fromtimestamp(model.sent[at].at or 0, zone) for at in (0, -1))
    begin = begin.replace(minute=0, second=0, microsecond=0)
    if step in ("day", "month"):
        begin = begin.replace(hour=0)
    if step == "month":
        begin = begin.replace(day=1)
    seen = Counter[str]()
    while begin <= last:
        end = min(begin + STEPS[step], last + timedelta(seconds=1))
        asked = {
            "app": app,
            "tz": zone.key,
            "step": step,
            "from": begin.isoformat(),
            "to": end.isoformat(),
        }
        rows = ask(stack, "/v1/series", **asked)["rows"]
        lines = ask(stack, "/v1/series", **asked, format="csv")
        kinds = [
            kind
            for kind in ("type", "platform", "command")
            if (kind, step) != ("command", "minute")
            # At a month's end the callbacks are of two months: too many quarters for one answer.
            and (kind, step, zone) != ("command", "month", KATHMANDU)
        ]
        named = {kind: ask(stack, "/v1/series", **asked, by=kind)["rows"] for kind in kinds}
        for at, row in enumerate(rows):
            assert datetime.fromisoformat(row["begin"]) == begin, (row, asked)
            begin = datetime.fromisoformat(row["end"]).astimezone(zone)
            callbacks = model.between(datetime.fromisoformat(row["begin"]), begin)
            check_row(row, lines[at], callbacks, zone, step, compared)
            for kind in kinds:
                assert named[kind][at]["by"] == by(callbacks, kind), (kind, row["begin"])
                compared["numbers"] += len(named[kind][at]["by"])
            seen.update(row["figures"])
        compared["rows"] += len(rows)
    total = sums(model.sent)
    assert seen == {name: total[name] for name in seen}, (zone.key, step)


def check_row(  # noqa: PLR0917 - as above
    row: dict[str, Any],
    line: dict[str, str],
    callbacks: list[Callback],
    zone: ZoneInfo,
    step: str,
    compared: Counter[str],
) -> None:
    """Compare the figures and the people of one window."""
    total = sums(callbacks)
    assert row["figures"] == {name: total[name] for name in row["figures"]}, row["begin"]
    assert {name: line[name] for name in row["figures"]} == {
        name: str(total[name]) for name in row["figures"]
    }
    assert (line["begin"], line["end"]) == (row["begin"], row["end"])
    end = datetime.fromisoformat(row["end"])
    is_exact = step == "minute" or (
        step == "day" and zone == SHANGHAI and end + EXACT > datetime.now(UTC) + HOUR
    )
    for figure, count in row["people"].items():
        if count is None:
            assert step == "minute"
            assert figure != "active"
            assert line[f"{figure}_people"] == ""
            continue
        number = people(callbacks, figure)
        if is_exact:
            assert count == {"value": number, "error": 0.0}, (figure, row["begin"])
        else:
            # Sketches of so few people are wrong by one or two at most.
            assert abs(count["value"] - number) <= 2, (figure, row["begin"], count)
        assert line[f"{figure}_people"] == str(count["value"])
        compared["numbers"] += 1
    compared["numbers"] += 2 * len(row["figures"])
