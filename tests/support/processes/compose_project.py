"""A Compose project of a test's own, from this checkout. It fails without a Docker engine."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.docs_blocks import ROOT, the_block
from support.processes.blackbox import ANSWER_S_MAX, SINKS

from ops.demo.embedded.child import free_port

RATE = 100
PORTS = (
    *("INGRESS", "GATEWAY_TLS", "STATS", "POSTGRES_READER"),
    *("KAFKA", "KAFKA_TLS", "KAFKA_2", "KAFKA_2_TLS", "KAFKA_3", "KAFKA_3_TLS"),
)
# Connect to Kafka without a password; the port must accept connections.
CONNECT = """
import asyncio, socket, sys
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

async def connect(host, port):
    socket.create_connection((host, port), 60).close()
    client = AIOKafkaClient(bootstrap_servers=f"{host}:{port}")
    try:
        await client.bootstrap()
        print("accepted")
    except KafkaConnectionError:
        print("refused")
    finally:
        await client.close()

asyncio.run(connect(sys.argv[1], int(sys.argv[2])))
"""


class Project:
    """Its containers, networks and volumes; `down` removes them. `settings` are for compose."""

    def __init__(self, **settings: str) -> None:
        self.name = f"hookline-test-{secrets.token_hex(3)}"
        self.ports = {name: free_port() for name in PORTS}
        self._env = os.environ | {
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
            # Not the settings of the person who runs the tests.
            "COMPOSE_DISABLE_ENV_FILE": "1",
            "IMAGE": "hookline-test",
            "ARCHIVE_SEGMENT_AGE_S": "1",
            **{f"{name}_PORT": str(port) for name, port in self.ports.items()},
            **settings,
        }
        self.ran: set[str] = set()

    def set(self, **settings: str) -> None:
        """Change environment variables of compose from now on."""
        self._env |= settings

    def run(self, block: str, *, folder: Path = ROOT) -> str:
        """Run a block of the docs, which may leave files in `folder`, and return its stdout."""
        self.ran.add(block)
        return self._done(["bash", "-euc", block], folder)

    def compose(self, *arguments: str) -> str:
        """Run docker compose and return its stdout."""
        return self._done(["docker", "compose", *arguments])

    def docker(self, *arguments: str) -> str:
        """Run docker instead of compose, which would first start the dependencies of a service."""
        return self._done(["docker", *arguments])

    def kafka_tool(self, tool: str, *arguments: str) -> str:
        """Run a tool of Kafka in the container of a broker, as the broker's user."""
        return self.compose(
            *("exec", "-T", "-e", "KAFKA_HEAP_OPTS=-Xmx128m", "kafka", f"/opt/kafka/bin/{tool}"),
            *("--bootstrap-server", "kafka:9092"),
            *("--command-config", "/usr/local/etc/admin.properties", *arguments),
        )

    def containers(self, *services: str) -> list[str]:
        """Return the containers of these services, in any state."""
        return self.compose("ps", "--all", "--quiet", *services).split()

    def fails(self, *arguments: str, code: int = 1) -> str:
        """Run docker compose, which must end with this code, and return its stderr."""
        done = self._ran(["docker", "compose", *arguments])
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stderr

    def hookline(self, *arguments: str) -> Any:
        """Run the command in the ops container and return its JSON."""
        return json.loads(self.compose("run", "--rm", "-T", "ops", *arguments, "--json"))

    def refuses_plaintext(self, host: str, port: int) -> bool:
        """Return whether Kafka refuses a container of this project that shows no password."""
        script = ("exec", "-T", "archive", "python", "-c", CONNECT, host, str(port))
        return self.compose(*script).strip() == "refused"

    def simulate(self, ledger: str, seconds: int) -> subprocess.Popen[str]:
        """Start traffic that no other test sends."""
        return subprocess.Popen(
            [
                *("docker", "compose", "run", "--rm", "-T", "ops", "simulate", "--json"),
                *("--rate", str(RATE), "--seconds", str(seconds), "--ledger", ledger),
                *("--seed", str(time.time_ns()), "--timeout", str(ANSWER_S_MAX)),
            ],
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def prove(self, *options: str) -> dict[str, Any]:
        """Assert that the audit finds each callback once in every place; return its report."""
        report: dict[str, Any] = self.hookline("audit", "--wait", "180", *options)
        assert (report["missing"], report["doubled"], report["proven"]) == (0, 0, True)
        for origin in report["origins"]:
            assert len({origin["sinks"][sink]["sequences"] for sink in SINKS}) == 1
        stored = sum(origin["last_sequence"] for origin in report["origins"])
        print(f"stored {stored}, missing 0, doubled 0")  # noqa: T201
        return report

    def copy_volume(self, source: str, target: str) -> None:
        """Make the volume `target` a copy of `source`."""
        script = "find /to -mindepth 1 -delete && cp -a /from/. /to/"
        volumes = [f"{self.name}_{source}:/from:ro", f"{self.name}_{target}:/to"]
        mounts = [part for volume in volumes for part in ("-v", volume)]
        self.docker("run", "--rm", "-u", "0", *mounts, "hookline-test", "sh", "-c", script)

    def down(self) -> None:
        """Remove everything that the project made."""
        self._done(["docker", "compose", "--profile", "*", "down", "--volumes", "--timeout", "5"])

    def _done(self, command: list[str], folder: Path = ROOT) -> str:
        done = self._ran(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _ran(self, command: list[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@contextmanager
def running_pipeline(**settings: str) -> Iterator[Project]:
    """Yield the pipeline, up and healthy; remove it at the end."""
    made = Project(**settings)
    try:
        made.run(the_block("up --build"))
        yield made
    finally:
        made.down()
