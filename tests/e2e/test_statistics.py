"""The statistics show exactly what the sender has sent."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.processes.blackbox import (
    ANSWER_S_MAX,
    KINDS,
    Demo,
    demo,
    hookline,
    shown_and_sent,
)


def ask(url: str) -> dict[str, Any]:
    """Return the API's answer."""
    with urllib.request.urlopen(url, timeout=180) as response:  # noqa: S310 - our own URL
        return dict(json.loads(response.read()))


@pytest.mark.timeout(600)
def test_messages_and_people_of_the_api_are_those_of_the_senders_ledger(tmp_path: Path) -> None:
    """On a new stack: the totals, by app, and summed over the minutes."""
    with demo() as fresh:
        ledger = tmp_path / "ledger.jsonl"
        # To one replica: a callback that is late at one of two is sent to both, a repeat.
        traffic = fresh.simulate(ledger, rate=150, seconds=8, replicas=1)
        sent = json.loads(traffic.communicate(timeout=180)[0])
        assert sent["ok"] == sent["sent"] > 100
        days = fresh.audit("--ledger", str(ledger), "--wait", "180")["days"]
        assert days["compared"] >= 1
        assert (days["different"], days["not_judged"]) == (0, [])
        entries = [json.loads(line) for line in ledger.read_text().splitlines()]
        check(fresh, entries)
        replay(fresh, ledger, tmp_path)
        check(fresh, entries, repeats=len(entries))


def replay(fresh: Demo, ledger: Path, folder: Path) -> None:
    """Send all that is archived again, and audit both runs: every callback is a repeat."""
    archived = hookline("archive", "cat", "--archive", fresh.addresses["archive"])
    recording, second = folder / "recording.jsonl", folder / "second.jsonl"
    recording.write_text(archived)
    url = fresh.addresses["ingresses"][0]
    options = ["--order", "time", "--rate", "500", "--ledger", str(second), "--json"]
    options += ["--timeout", str(ANSWER_S_MAX)]
    sent = json.loads(hookline("simulate", "--url", url, "--replay", str(recording), *options))
    assert sent["ok"] == sent["sent"] == len(archived.splitlines())
    ids = [
        {json.loads(line)["id"] for line in path.read_text().splitlines()}
        for path in (ledger, second)
    ]
    assert ids[0] == ids[1]
    report = fresh.audit("--ledger", str(ledger), "--ledger", str(second), "--wait", "180")
    assert report["proven"]
    assert report["ledger"]["ok"] == 2 * sent["ok"]


def check(fresh: Demo, entries: list[dict[str, Any]], *, repeats: int = 0) -> None:
    """Compare the API's numbers with the ledger's entries."""
    stats = fresh.addresses["stats"]
    shown, sent = shown_and_sent(ask(f"{stats}/v1/totals"), entries)
    assert shown == sent | {"repeats": repeats}
    minutes = ask(f"{stats}/v1/minutes")["minutes"]
    for kind in KINDS:
        assert sent[kind] > 0, kind
        assert sum(minute[kind] for minute in minutes) == sent[kind]
    assert sent["people"] >= max(minute["people"] for minute in minutes) > 0
