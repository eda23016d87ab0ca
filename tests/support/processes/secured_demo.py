"""
`python -m support.processes.secured_demo DIRECTORY OPTIONS`: a demo whose Kafka is secured.

The names in Kafka have a prefix. All services are one user, which has the rights that
`hookline topics apply --acls` gives them, and use Kafka by SCRAM-SHA-512 over TLS.
DIRECTORY/env.json has the variables of commands.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.kafka.secured import SCRAM, USER, SecuredBroker
from support.processes.patient_demo import have_patient_replicas

from ops.demo import command, demo, services, stack
from schemas.kafka_access import KafkaAccess, kafka_access

# As that of the product's own demo, which restarts a killed broker.
SESSION_MS = 3000
PREFIX_VARIABLE, PREFIX = "HOOKLINE_KAFKA_PREFIX", "secured."
SERVICES = ("ingress", "archive", "sync", "counters", "statistics", "operator", "reader", "topics")


class SecuredKafka(SecuredBroker):
    """The demo's broker, under the address of its listener for SCRAM."""

    def __init__(self, directory: Path) -> None:
        """Prepare one, and have the services use it."""
        super().__init__(directory, session_ms=SESSION_MS)
        self._plain_address = self.address
        self.address = self.address_of(SCRAM)
        self.variables = self.env(SCRAM)
        del self.variables["HOOKLINE_BOOTSTRAP_SERVERS"]
        self.variables[PREFIX_VARIABLE] = PREFIX

    def apply(self, file: Path) -> None:
        """Create the topics and the ACLs."""
        lines = [f'{service} = ["User:{USER}"]\n' for service in SERVICES]
        file.write_text("[services]\n" + "".join(lines))
        hookline = Path(sys.executable).with_name("hookline")
        options = ("--kafka", self._plain_address, "--replicas", "1", "--acls", file)
        subprocess.run(
            [hookline, "topics", "apply", *options],
            check=True,
            stdout=sys.stderr,
            env={**os.environ, PREFIX_VARIABLE: PREFIX},
        )


def main(directory: Path) -> None:
    """Run `hookline demo` with the rest of the command line."""
    kafka = SecuredKafka(directory / "kafka")
    directory.joinpath("env.json").write_text(json.dumps(kafka.variables))
    environment = services.environment

    def secured_environment(*arguments: Any, **ports: Any) -> dict[str, str]:
        return environment(*arguments, **ports) | kafka.variables

    def secured_access(*, bootstrap_servers: str) -> KafkaAccess:
        return kafka_access(bootstrap_servers, kafka.variables)

    async def apply(*_: Any, **__: Any) -> list[str]:
        await asyncio.to_thread(kafka.apply, directory / "acls.toml")
        return []

    replaced: Mapping[Any, Mapping[str, Any]] = {
        stack: {
            "EmbeddedKafka": lambda _: kafka,
            "KafkaAccess": secured_access,
            "apply_topics": apply,
        },
        demo: {"KafkaAccess": secured_access},
        services: {"environment": secured_environment},
    }
    for module, names in replaced.items():
        for name, value in names.items():
            setattr(module, name, value)
    have_patient_replicas()
    command.demo(sys.argv[2:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
