"""
The pipeline in docker compose: start, traffic, kills, scaling, restored copies, and the audit.

The tests run the docs' docker compose blocks unchanged, in a Compose project of their own.
"""

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.docs_blocks import the_block
from support.processes.blackbox import shown_and_sent
from support.processes.compose_project import RATE, Project

STORES = ("postgres", "valkey")

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)


def test_a_webhook_without_a_url_is_not_started_again() -> None:
    """It would end with the same error each time; the other target is not affected."""
    made = Project(WEBHOOK_BI_URL="https://bi.example.com/hook")
    config = made.compose("--profile", "webhooks", "config", "--format", "json")
    services = json.loads(config)["services"]
    assert services["webhook-bi"]["restart"] == "unless-stopped"
    assert services["webhook-crm"].get("restart", "") == ""


def ask(project: Project, path: str) -> dict[str, Any]:
    """Return the statistics API's answer."""
    url = f"http://127.0.0.1:{project.ports['STATS']}{path}"
    with urllib.request.urlopen(url, timeout=180) as response:
        return dict(json.loads(response.read()))


def send(project: Project, text: str) -> None:
    """Send a message, without a Sign, as the demo app may."""
    command = "C2C.CallbackAfterSendMsg"
    body = {
        "CallbackCommand": command,
        "From_Account": "jared",
        "To_Account": "john",
        "MsgKey": f"1_2_{time.time_ns()}",
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}],
    }
    url = (
        f"http://127.0.0.1:{project.ports['INGRESS']}/?SdkAppid=1400000001"
        f"&CallbackCommand={command}"
    )
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=180) as response:
        assert json.loads(response.read())["ActionStatus"] == "OK"


def once_healthy(project: Project, block: str) -> str:
    """Run a block with `status` until it ends with 0: on a busy machine a part answers too late."""
    deadline = time.monotonic() + 180
    while True:
        try:
            return project.run(block)
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def test_the_senders_ledger_agrees_with_every_sink_and_the_statistics(project: Project) -> None:
    """The docs' commands audit the sinks; then messages and people are counted by the ledger."""
    said = project.run(the_block("ops simulate --count"))
    assert "proven: every callback is exactly once in Kafka, archive, PostgreSQL, counts" in said
    assert "UTC  healthy" in once_healthy(project, the_block("ops status\n"))
    assert "answer" in once_healthy(project, the_block("--failures-by-sender"))
    statuses = project.run(the_block("docker exec"))
    assert statuses.count('"instance": ') == len(project.containers("ingress"))
    for line in project.run(the_block("logs --no-log-prefix --since")).splitlines():
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
    assert "retention.ms 604800000 (7 days) -> 1209600000" in project.run(the_block("14\n"))
    project.run(the_block("docker compose restart sync"))
    ledger = project.compose("run", "--rm", "-T", "--entrypoint", "cat", "ops", "ledger.jsonl")
    shown, sent = shown_and_sent(
        ask(project, "/v1/totals"), [json.loads(line) for line in ledger.splitlines()]
    )
    assert shown == sent
    assert sent["people"] > 100
    send(project, "my first callback")
    arrived = project.run(the_block("ops audit --wait"))
    assert "proven: " in arrived
    # The line of the archive; the query may have come before sync.
    assert '"my first callback"' in arrived


def test_kill_9_of_each_part_in_turn_loses_and_doubles_nothing(project: Project) -> None:
    """Each container is killed under load; only the kill of the gateway costs answers."""
    first, second = project.containers("ingress")
    victims = [first]
    for service in ("sync", "counters", "archive", "postgres", "valkey", "kafka"):
        victims += project.containers(service)
    victims += [second, *project.containers("stats"), *project.containers("gateway")]
    traffic = project.simulate("kills.jsonl", seconds=40)
    for victim in victims:
        time.sleep(2)
        assert traffic.poll() is None
        project.docker("kill", victim)
        project.docker("start", victim)
    sent = json.loads(traffic.communicate(timeout=180)[0])
    # The gateway answers 502 or 503 if it reaches no replica, but one was always up. A slow machine
    # may cause a 504.
    assert not any("answered 50" in why and "504" not in why for why in sent["not_ok"]), sent
    assert sent["ok"] > RATE * 40 / 2
    # An audit does not wait for Kafka.
    project.compose("up", "--wait", "--no-recreate")
    report = project.prove("--ledger", "kills.jsonl")
    assert report["ledger"]["ok"] == sent["ok"]
    assert report["ledger"]["missing"] == {"kafka": 0, "archive": 0, "postgres": 0}
    print(f"answered OK {sent['ok']} of {sent['sent']}, others: {sent['not_ok']}")  # noqa: T201


def test_more_members_share_the_partitions_and_leave_again(project: Project) -> None:
    """The group is rebalanced under load when members come and when they leave."""
    traffic = project.simulate("scale.jsonl", seconds=25)
    project.run(the_block("--scale archive"))
    for group, members in (("archive", 3), ("counters", 2)):
        asked = ("--describe", "--group", group, "--members")
        described = project.kafka_tool("kafka-consumer-groups.sh", *asked)
        assert len([line for line in described.splitlines() if line.startswith(group)]) == members
    project.compose("up", "--wait", "--no-recreate", "--scale", "archive=1")
    json.loads(traffic.communicate(timeout=180)[0])
    project.prove("--ledger", "scale.jsonl")


def test_stores_that_are_restored_to_an_older_state_become_complete(project: Project) -> None:
    """A copy of their volumes from before the traffic is restored; no new callback arrives."""
    for store in STORES:
        project.compose("stop", store)
        project.copy_volume(store, f"{store}-copy")
    project.compose("start", *STORES)
    sent = json.loads(project.simulate("copy.jsonl", seconds=5).communicate(timeout=180)[0])
    assert sent["ok"] > 0
    before = project.prove("--ledger", "copy.jsonl")
    for store in STORES:
        project.compose("kill", "--signal", "KILL", store)
        project.copy_volume(f"{store}-copy", store)
    project.compose("start", *STORES)
    project.compose("up", "--wait", "--no-recreate")
    assert project.prove("--ledger", "copy.jsonl")["origins"] == before["origins"]


def test_every_sink_is_restored_from_what_was_copied_while_it_ran(
    project: Project, tmp_path: Path
) -> None:
    """The copies are older than the loss; the callbacks after them come from Kafka."""
    project.run(the_block("pg_dump"), folder=tmp_path)
    sent = json.loads(project.simulate("online.jsonl", seconds=5).communicate(timeout=180)[0])
    assert sent["ok"] > 0
    before = project.prove("--ledger", "online.jsonl")
    project.compose("stop", "sync", "archive", "counters")
    query = "drop schema hookline cascade"
    project.compose("exec", "-T", "postgres", "psql", "-U", "hookline", "-c", query)
    flush = "REDISCLI_AUTH=$(cat /var/lib/hookline/passwords/valkey/default) valkey-cli flushall"
    project.compose("exec", "-T", "valkey", "sh", "-c", flush)
    for part in ("pg_restore", "rm -rf ./*", "ops counters rebuild --yes"):
        project.run(the_block(part), folder=tmp_path)
    project.compose("up", "--wait", "--no-recreate")
    assert project.prove("--ledger", "online.jsonl")["origins"] == before["origins"]


def test_everything_moves_to_another_machine(project: Project, tmp_path: Path) -> None:
    """All volumes are copied, deleted, and made again from the copies."""
    before = project.prove()
    project.run(the_block("docker compose stop\n"), folder=tmp_path)
    project.down()
    project.run(the_block("valkey -C /data -xf"), folder=tmp_path)
    assert project.prove()["origins"] == before["origins"]


def test_stored_callbacks_outlive_the_containers(project: Project) -> None:
    """After `down` without --volumes and `up`, the audit proves the same callbacks."""
    before = project.prove()
    assert "no replica that answers has a token" in once_healthy(
        project, the_block("ops archive ls")
    )
    assert "proven: " in project.run(the_block("audit --spool"))
    project.run(the_block("docker compose down\n"))
    project.run(the_block("up --build"))
    assert project.prove()["origins"] == before["origins"]


def test_a_rolling_restart_and_a_reload_cost_the_sender_nothing(project: Project) -> None:
    """As the docs say, three replicas are replaced in turn under load: all callbacks are OK."""
    project.run(the_block("--scale ingress=3"))
    before = set(project.containers("ingress"))
    traffic = project.simulate("rolling.jsonl", seconds=35)
    project.run(the_block("USR2"))
    project.set(INGRESS_SDKAPPIDS="1400000001,1400000002")
    project.run(the_block("docker stop"))
    after = set(project.containers("ingress"))
    assert (len(before), len(after), before & after) == (3, 3, set())
    assert_all_answered_and_stored(project, traffic, "rolling.jsonl")
    # The restarted replicas accept the app that was added.
    sent = project.hookline("simulate", "--sdkappid", "1400000002", "--count", "10")
    assert sent["ok"] == 10


def test_a_replica_that_is_killed_under_load_costs_the_sender_nothing(project: Project) -> None:
    """The gateway sends the replica's unanswered requests to another replica."""
    traffic = project.simulate("killed.jsonl", seconds=10)
    time.sleep(5)
    project.docker("kill", project.containers("ingress")[0])
    assert traffic.poll() is None
    traffic.wait(timeout=180)
    project.compose("up", "--wait", "--no-recreate", "--scale", "ingress=3")
    assert_all_answered_and_stored(project, traffic, "killed.jsonl")


def assert_all_answered_and_stored(
    project: Project, traffic: subprocess.Popen[str], ledger: str
) -> None:
    """Wait for the end of the traffic, and assert that each callback is OK and in every sink."""
    sent = json.loads(traffic.communicate(timeout=180)[0])
    assert sent["sent"] > RATE
    assert (sent["ok"], sent["other_answer"], sent["unanswered"]) == (sent["sent"], 0, 0)
    report = project.prove("--ledger", ledger)
    assert report["ledger"]["ok"] == sent["ok"]
    assert report["ledger"]["missing"] == {"kafka": 0, "archive": 0, "postgres": 0}
