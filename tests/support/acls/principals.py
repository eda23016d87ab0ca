"""The access to a broker that checks ACLs, for any principal."""

import asyncio
import os
from collections.abc import Mapping

from support.kafka.secured import OAUTH, SecuredBroker
from support.processes.command import run_hookline

from schemas.kafka_access import KafkaAccess, kafka_access


def env_of(broker: SecuredBroker, user: str) -> dict[str, str]:
    """Return the variables with which a process is the principal `User:user`."""
    return broker.env(OAUTH, user=user)


def access_of(broker: SecuredBroker, user: str | None = None) -> KafkaAccess:
    """Return the access of the principal `User:user`; without a user, that with every right."""
    if user is None:
        return KafkaAccess(bootstrap_servers=broker.address)
    env = env_of(broker, user)
    return kafka_access(env.pop("HOOKLINE_BOOTSTRAP_SERVERS"), env)


async def hookline(env: Mapping[str, str], *arguments: str, code: int | None = 0) -> str:
    """Run a command of Hookline, check its exit code, and return its output."""
    run = await asyncio.to_thread(
        run_hookline, *arguments, env={**os.environ, "COLUMNS": "200", **env}, is_merged=True
    )
    assert code is None or run.returncode == code, f"{arguments}: {run.returncode}\n{run.stdout}"
    return run.stdout
