"""
How every client of ours reaches Kafka: the addresses, the security, the client id, and the names.

A new client reads the files of the user, the password and the certificates, so they are rotated
without a restart. While one of them cannot be used, for example because another program is writing
it, all of them have the content that this process has used last.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.kafka_files import UnusableAccess
from schemas.kafka_names import KafkaName
from schemas.kafka_security import KAFKA_VARIABLES_PREFIX, KafkaSecurity
from schemas.settings import read_settings

log = logging.getLogger(__name__)

# For each settings of this process, the options that were made last, and the fault of the files
# that was logged since; a process has one of them.
_last_options: dict[KafkaSecurity, dict[str, Any]] = {}
_logged_faults: dict[KafkaSecurity, str] = {}


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

    def for_service(self, service: str) -> "KafkaAccess":
        """Return the same access for `service`, whose clients are `hookline-SERVICE`."""
        return replace(self, client_id=f"hookline-{service}")

    @property
    def prefix(self) -> str:
        """The text with which all names of this pipeline begin in Kafka, "" for none."""
        return self.security.prefix

    def topic(self, name: str) -> KafkaName:
        """Return the topic `name` as the cluster knows it."""
        return KafkaName(self.prefix + name)

    def group(self, name: str) -> KafkaName:
        """Return the consumer group `name` as the cluster knows it."""
        return KafkaName(self.prefix + name)

    def transactional_id(self, name: str) -> KafkaName:
        """Return the transactional id `name` as the cluster knows it."""
        return KafkaName(self.prefix + name)

    def bare(self, name: str) -> str:
        """Return the name without the prefix; `name` is one of this pipeline's in Kafka."""
        if not name.startswith(self.prefix):
            raise ValueError(f"{name} is not a name of the pipeline {self.prefix}")
        return name[len(self.prefix) :]

    def options(self, client_id: str | None = None) -> dict[str, Any]:
        """
        Return what a new client of aiokafka needs; `client_id` is used in place of the access's.

        Raises:
            KafkaError: a file of the settings cannot be used now, and never could in this process.
        """
        try:
            security = _current_or_last(self.security)
        except UnusableAccess as unusable:
            # Only now: aiokafka takes long to import, and our callers use it in any case.
            from aiokafka.errors import KafkaError  # noqa: PLC0415

            raise KafkaError(str(unusable)) from unusable
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": client_id or self.client_id,
            **security,
        }


def _current_or_last(security: KafkaSecurity) -> dict[str, Any]:
    """
    Return the options by the files' content, or those that were made last if one cannot be used.

    Raises:
        UnusableAccess: a file cannot be used, and no options were made before.
    """
    try:
        options = security.options()
    except UnusableAccess as unusable:
        last, fault = _last_options.get(security), str(unusable)
        if last is None:
            raise
        if _logged_faults.get(security) != fault:
            log.warning("%s; the content of all files that was used last is used", fault)
        _logged_faults[security] = fault
        return last
    _last_options[security] = options
    _logged_faults.pop(security, None)
    return options


def kafka_access(bootstrap_servers: str, env: Mapping[str, str]) -> KafkaAccess:
    """
    Return the access to the brokers with the security and the prefix of HOOKLINE_KAFKA_* in `env`.

    Raises:
        SettingsFaults: with everything that is wrong, not only the first.
    """
    (security,) = read_settings({KAFKA_VARIABLES_PREFIX: KafkaSecurity}, env)
    return KafkaAccess(bootstrap_servers=bootstrap_servers, security=security)
