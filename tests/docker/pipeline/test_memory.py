"""The limits of memory in docker compose: a service that reaches its limit starts again."""

import json
import time

import pytest
from support.processes.compose_project import RATE, Project

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)


def restarts(project: Project, container: str) -> int:
    """Return how often Docker has started the container again by itself."""
    return int(project.docker("inspect", "--format", "{{.RestartCount}}", container))


# Processes beside the service, each smaller than it, so that the kernel kills the service.
EATERS = """
for each in 1 2 3 4 5 6 7 8; do
  python -c 'import time; eaten = b"x" * (10 << 20); time.sleep(60)' &
done
wait
"""


def limit(project: Project, container: str, size: str) -> None:
    """Set the limit of memory of a container that runs; it gets no swap."""
    project.docker("update", "--memory", size, "--memory-swap", size, container)


def test_a_service_that_reaches_its_limit_is_killed_and_nothing_is_lost(project: Project) -> None:
    """Under load, the memory of each of our services is used up once."""
    victims = [project.containers(name)[0] for name in ("ingress", "archive", "sync", "counters")]
    traffic = project.simulate("memory.jsonl", seconds=20)
    for victim in victims:
        before = restarts(project, victim)
        limit(project, victim, "96m")
        project.docker("exec", "--detach", victim, "sh", "-c", EATERS)
        deadline = time.monotonic() + 180
        while restarts(project, victim) == before:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        limit(project, victim, "512m")
    sent = json.loads(traffic.communicate(timeout=180)[0])
    project.compose("up", "--wait", "--no-recreate")
    assert sent["ok"] > RATE
    report = project.prove("--ledger", "memory.jsonl")
    assert report["ledger"]["ok"] == sent["ok"]
    assert report["ledger"]["missing"] == {"kafka": 0, "archive": 0, "postgres": 0}
