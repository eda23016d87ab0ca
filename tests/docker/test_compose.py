"""
docker compose as a stranger runs it: up, traffic, kills, scaling, restored copies, and the proof.

Drives the docs' blocks of docker compose as they stand, in a project of its own. Without a Docker
engine it fails.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from docs_blocks import ROOT, blocks, the_block
from e2e_blackbox import SINKS, shown_and_sent

BLOCKS = {block for block in blocks("sh") if block.startswith("docker compose")}
STORES = ("postgres", "valkey")
RATE = 100

# The first one builds the image.
pytestmark = pytest.mark.timeout(900)


class Project:
    """A Compose project of the test's own, from this checkout."""

    def __init__(self) -> None:
        self.name = f"hookline-test-{secrets.token_hex(3)}"
        self.ports = dict(zip(("INGRESS", "STATS", "KAFKA"), free_ports(), strict=True))
        self._env = os.environ | {
            "COMPOSE_PROJECT_NAME": self.name,
            "IMAGE": "hookline-test",
            "ARCHIVE_SEGMENT_AGE_S": "1",
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
        }
        self.ran: set[str] = set()

    def run(self, block: str) -> str:
        """Run a block of the docs and return its stdout."""
        self.ran.add(block)
        return self._done(["bash", "-euc", block])

    def compose(self, *arguments: str) -> str:
        """Run docker compose and return its stdout."""
        return self._done(["docker", "compose", *arguments])

    def hookline(self, *arguments: str) -> Any:
        """Run the command in the ops container and return its JSON."""
        return json.loads(self.compose("run", "--rm", "-T", "ops", *arguments, "--json"))

    def simulate(self, ledger: str, seconds: int) -> subprocess.Popen[str]:
        """Start traffic that no other test sends."""
        return subprocess.Popen(
            [
                *("docker", "compose", "run", "--rm", "-T", "ops", "simulate", "--json"),
                *("--rate", str(RATE), "--seconds", str(seconds), "--ledger", ledger),
                *("--seed", str(time.time_ns())),
            ],
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def prove(self, *options: str) -> dict[str, Any]:
        """Audit everything: nothing missing, nothing doubled, as many in each place."""
        report: dict[str, Any] = self.hookline("audit", "--wait", "120", *options)
        assert (report["missing"], report["doubled"], report["proven"]) == (0, 0, True)
        for origin in report["origins"]:
            assert len({origin["sinks"][sink]["sequences"] for sink in SINKS}) == 1
        stored = sum(origin["accepted"] for origin in report["origins"])
        print(f"stored {stored}, missing 0, doubled 0")  # noqa: T201
        return report

    def copy_volume(self, source: str, target: str) -> None:
        """Make the volume `target` what `source` is."""
        script = "find /to -mindepth 1 -delete && cp -a /from/. /to/"
        volumes = [f"{self.name}_{source}:/from:ro", f"{self.name}_{target}:/to"]
        mounts = [part for volume in volumes for part in ("-v", volume)]
        self._done(
            ["docker", "run", "--rm", "-u", "0", *mounts, "hookline-test", "sh", "-c", script]
        )

    def down(self) -> None:
        """Remove everything that the project made."""
        self._done(["docker", "compose", "--profile", "*", "down", "--volumes", "--timeout", "5"])
        copies = [f"{self.name}_{store}-copy" for store in STORES]
        self._done(["docker", "volume", "rm", "--force", *copies])

    def _done(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def free_ports() -> list[int]:
    """Return three free ports below those of outgoing connections."""
    found: list[int] = []
    while len(found) < 3:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """The pipeline, up and healthy; removed at the end."""
    made = Project()
    try:
        made.run(the_block("up --build"))
        yield made
    finally:
        made.down()


def ask(project: Project, path: str) -> dict[str, Any]:
    """Return the statistics API's answer."""
    url = f"http://127.0.0.1:{project.ports['STATS']}{path}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return dict(json.loads(response.read()))


def test_what_the_sender_noted_is_in_every_sink_and_in_the_statistics(project: Project) -> None:
    """The docs' own commands; then messages and people by the ledger, people included."""
    said = project.run(the_block("ops simulate"))
    assert "proven: every callback exactly once in Kafka, in archive, synced, counted" in said
    ledger = project.compose("run", "--rm", "-T", "--entrypoint", "cat", "ops", "ledger.jsonl")
    shown, sent = shown_and_sent(
        ask(project, "/v1/totals"), [json.loads(line) for line in ledger.splitlines()]
    )
    assert shown == sent
    assert sent["people"] > 100


def test_every_service_runs_without_root_and_cannot_write_its_image(project: Project) -> None:
    """What is taken over by a stranger's body stays small."""
    for service in ("ingress", "archive", "sync", "counters", "stats"):
        container = project.compose("ps", "-q", service).strip()
        (found,) = json.loads(subprocess.check_output(["docker", "inspect", container]))  # noqa: S607 - wherever it is
        assert (found["Config"]["User"], found["HostConfig"]["ReadonlyRootfs"]) == (
            "hookline",
            True,
        )
        assert found["HostConfig"]["CapDrop"] == ["ALL"]


def test_kill_9_of_each_part_in_turn_loses_and_doubles_nothing(project: Project) -> None:
    """All eight, under load."""
    victims = ("sync", "counters", "archive", "postgres", "valkey", "kafka", "ingress", "stats")
    traffic = project.simulate("kills.jsonl", seconds=40)
    for victim in victims:
        time.sleep(2)
        assert traffic.poll() is None
        project.compose("kill", "--signal", "KILL", victim)
        project.compose("start", victim)
    sent = json.loads(traffic.communicate(timeout=120)[0])
    assert sent["ok"] > RATE * 40 / 2
    report = project.prove("--ledger", "kills.jsonl")
    assert report["ledger"]["ok"] == sent["ok"]
    assert report["ledger"]["missing"] == {"kafka": 0, "archive": 0, "postgres": 0}
    print(f"answered OK {sent['ok']} of {sent['sent']}")  # noqa: T201


def test_more_members_share_the_partitions_and_leave_again(project: Project) -> None:
    """The group moves under load, twice."""
    traffic = project.simulate("scale.jsonl", seconds=25)
    project.run(the_block("--scale"))
    for group, members in (("archive", 3), ("counters", 2)):
        found = project.compose(
            *("exec", "-T", "kafka", "/opt/kafka/bin/kafka-consumer-groups.sh"),
            *("--bootstrap-server", "localhost:9092", "--describe", "--group", group, "--members"),
        )
        assert len([line for line in found.splitlines() if line.startswith(group)]) == members
    project.compose("up", "--wait", "--no-recreate", "--scale", "archive=1")
    json.loads(traffic.communicate(timeout=120)[0])
    project.prove("--ledger", "scale.jsonl")


def test_stores_that_are_put_back_to_an_older_state_end_complete(project: Project) -> None:
    """A copy of their volumes from before the traffic, restored after it, and no traffic then."""
    for store in STORES:
        project.compose("stop", store)
        project.copy_volume(store, f"{store}-copy")
    project.compose("start", *STORES)
    sent = json.loads(project.simulate("copy.jsonl", seconds=5).communicate(timeout=60)[0])
    assert sent["ok"] > 0
    before = project.prove("--ledger", "copy.jsonl")
    for store in STORES:
        project.compose("kill", "--signal", "KILL", store)
        project.copy_volume(f"{store}-copy", store)
    project.compose("start", *STORES)
    project.compose("up", "--wait", "--no-recreate")
    assert project.prove("--ledger", "copy.jsonl")["origins"] == before["origins"]


def test_what_was_stored_outlives_the_containers(project: Project) -> None:
    """Down without --volumes, and up again."""
    before = project.prove()
    assert "last_sequence" in project.run(the_block("ops archive ls"))
    assert "proven: " in project.run(the_block("--spool"))
    project.run(the_block("docker compose down\n"))
    project.run(the_block("up --build"))
    assert project.prove()["origins"] == before["origins"]


def test_every_block_of_docker_compose_was_run(project: Project) -> None:
    """Runs last."""
    assert project.ran == BLOCKS
