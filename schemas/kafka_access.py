"""
How every client of ours reaches Kafka: the addresses, the security, and the client id.

A new client reads the files of the user, the password and the certificates, so they are rotated
without a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.kafka_files import UnusableAccess
from schemas.kafka_security import KAFKA_PREFIX, KafkaSecurity
from schemas.settings import read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """The brokers' addresses, `host:port,host:port`, and how clients connect to them."""

    bootstrap_servers: str
    # The name of the service, which the brokers log and limit by.
    client_id: str = "hookline"
    security: KafkaSecurity = field(default_factory=KafkaSecurity)

    def __str__(self) -> str:
        """Return the addresses, for messages about Kafka."""
        return self.bootstrap_servers

    def named(self, service: str) -> "KafkaAccess":
        """Return the same access for `service`, whose clients are `hookline-SERVICE`."""
        return replace(self, client_id=f"hookline-{service}")

    def options(self, client_id: str | None = None) -> dict[str, Any]:
        """
        Return what a new client of aiokafka needs; `client_id` is used in place of the access's.

        Raises:
            KafkaError: a file of the settings cannot be used now.
        """
        try:
            security = self.security.options()
        except UnusableAccess as unusable:
            # Only now: aiokafka takes long to import, and our callers use it in any case.
            from aiokafka.errors import KafkaError  # noqa: PLC0415

            raise KafkaError(str(unusable)) from unusable
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": client_id or self.client_id,
            **security,
        }


def kafka_access(bootstrap_servers: str, env: Mapping[str, str]) -> KafkaAccess:
    """
    Return the access to the brokers with the security that HOOKLINE_KAFKA_* in `env` demand.

    Raises:
        Faults: with everything that is wrong, not only the first.
    """
    (security,) = read_settings({KAFKA_PREFIX: KafkaSecurity}, env)
    return KafkaAccess(bootstrap_servers=bootstrap_servers, security=security)
