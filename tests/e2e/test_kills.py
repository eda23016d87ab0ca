"""The promise, from outside: what was answered OK is everywhere once, whatever is killed."""

import json
import time
from pathlib import Path

import pytest
from e2e_blackbox import Demo

RATE = 200
SECONDS = 24


@pytest.mark.timeout(300)
def test_kill_9_of_each_part_in_turn_loses_and_doubles_nothing(stack: Demo, tmp_path: Path) -> None:
    """Ingress, archive and Kafka die under load, twice each; the ledger is held against audit."""
    ledger = tmp_path / "ledger.jsonl"
    traffic = stack.simulate(ledger, rate=RATE, seconds=SECONDS)
    for service in ("ingress", "archive", "kafka", "ingress", "kafka", "archive"):
        time.sleep(SECONDS / 8)
        assert traffic.poll() is None
        stack.kill(service)
    sent = json.loads(traffic.communicate(timeout=120)[0])
    # The ingress was down for two moments; Kafka's and the archive's ends cost no answer.
    assert sent["ok"] > RATE * SECONDS / 2
    assert sent["refused"] == 0
    report = stack.audit("--ledger", str(ledger), "--wait", "120")
    assert (report["missing"], report["doubled"], report["proven"]) == (0, 0, True)
    assert report["ledger"]["ok"] == sent["ok"]
    assert report["ledger"]["missing_in_kafka"] == report["ledger"]["missing_in_archive"] == 0
    print(f"answered OK {sent['ok']} of {sent['sent']}, missing 0, doubled 0")  # noqa: T201


@pytest.mark.timeout(120)
def test_while_kafka_is_down_callbacks_are_answered_ok(stack: Demo, tmp_path: Path) -> None:
    """At once, and from a fresh start too: the ingress is killed during the outage."""
    stack.kill("kafka")
    stack.kill("ingress")
    # Kafka needs some seconds to come back; the ingress is there before.
    ledger = tmp_path / "ledger.jsonl"
    traffic = stack.simulate(ledger, rate=100, seconds=6)
    sent = json.loads(traffic.communicate(timeout=60)[0])
    assert sent["ok"] >= 300
    report = stack.audit("--ledger", str(ledger), "--wait", "90")
    assert report["proven"]
