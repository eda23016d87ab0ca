"""All services of Hookline on a broker that checks ACLs, each as a principal of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.acls.principals import env_of
from support.builders import a_body
from support.kafka.secured import SecuredBroker
from support.processes.consumer import Consumer
from support.processes.ingress import APP, Connection, Ingress, post
from support.webhook.receiver import SECRET, Receiver

from ops.demo.embedded import child

# The webhook's target, as docs/acls.md names it.
TARGET = "crm"


class Services:
    """The principals are those of docs/acls.md, `User:hookline-SERVICE`, or `User:TEAM-SERVICE`."""

    def __init__(
        self,
        directory: Path,
        broker: SecuredBroker,
        receiver: Receiver,
        *,
        conninfo: str,
        valkey_url: str,
        team: str = "hookline",
        prefix: str = "",
    ) -> None:
        """Prepare them; `running` starts them. In Kafka, their names begin with `prefix`."""
        self._team, self._prefix = team, prefix
        self._broker = broker
        self._log = directory / "statistics.log"
        self._valkey_url, self.conninfo = valkey_url, conninfo
        self._stats_port = child.free_port()
        self.archive = directory / "archive"
        secrets = directory / "webhook-secrets"
        secrets.write_text(f"{SECRET}\n")
        self.webhook_env = {
            "WEBHOOK_NAME": TARGET,
            "WEBHOOK_URL": receiver.url,
            "WEBHOOK_SECRETS_FILE": str(secrets),
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        }
        own = self.env_of("ingress")
        self.ingress = Ingress(directory / "spools", broker.address, env=own)
        settings: dict[str, dict[str, str]] = {
            "archive": {"ARCHIVE_URL": str(self.archive), "ARCHIVE_SEGMENT_AGE_S": "1"},
            "sync": {"SYNC_POSTGRES": conninfo},
            "counters": {"COUNTERS_VALKEY": valkey_url},
            "webhook": self.webhook_env,
        }
        self.consumers = {
            name: Consumer(
                name,
                broker.address,
                directory / f"{name}.log",
                env=own | self.env_of(name + f"-{TARGET}" * (name == "webhook")),
            )
            for name, own in settings.items()
        }

    def env_of(self, service: str) -> dict[str, str]:
        """Return the variables with which a process uses Kafka as this service."""
        own = {"HOOKLINE_KAFKA_PREFIX": self._prefix} if self._prefix else {}
        return env_of(self._broker, f"{self._team}-{service}") | own

    @property
    def stats_url(self) -> str:
        """The statistics API."""
        return f"http://127.0.0.1:{self._stats_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run all services; none of them runs on exit."""
        statistics: subprocess.Popen[bytes] | None = None
        try:
            self.ingress.launch()
            for consumer in self.consumers.values():
                consumer.launch()
            env = {"STATS_VALKEY": self._valkey_url, "STATS_PORT": str(self._stats_port)}
            env |= self.env_of("statistics")
            command = [sys.executable, "-m", "consumers.stats"]
            statistics = child.start(command, log=self._log, env=os.environ | env)
            yield
        finally:
            self.ingress.kill()
            for consumer in self.consumers.values():
                consumer.kill()
            if statistics is not None:
                child.kill(statistics)

    def logs(self) -> str:
        """Return the logs of all services."""
        files = [self._log, self.ingress.log, *(each.log for each in self.consumers.values())]
        return "\n".join(file.read_text() for file in files if file.exists())

    async def send(self, *bodies: bytes) -> list[int]:
        """Send callbacks to the ingress, and return the status of each answer."""
        connection = await Connection.open(self.ingress.port)
        try:
            statuses = []
            for body in bodies:
                connection.send(post(body))
                statuses.append((await connection.answer()).status)
        finally:
            connection.close()
        return statuses


def messages(first: int, count: int) -> list[bytes]:
    """Return bodies of so many messages, each from a sender of its own."""
    return [
        a_body(From_Account=f"user-{number}", MsgKey=f"{number}_{APP}_1")
        for number in range(first, first + count)
    ]
