"""The processes of the pipeline: their addresses, commands and environments."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

SDKAPPIDS = ("1400000001", "1400000002", "1400000003")
PATH = "/callback"
REPLICAS = ("ingress-1", "ingress-2")
CONSUMERS = ("archive", "sync", "counters")
SERVICES = (*REPLICAS, *CONSUMERS, "stats")
PREFIXES = ("HOOKLINE_", "INGRESS_", "CONSUMER_", "ARCHIVE_", "SYNC_", "COUNTERS_", "STATS_")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackAddresses:
    """
    The addresses of all parts; `hookline demo --json` prints them as its first line.

    `ingress` and `admin` are addresses of the first replica, `ingresses` and `admins` of all;
    `consumers` are a NAME=URL for each consumer's admin port.
    """

    ingress: str
    admin: str
    ingresses: tuple[str, ...]
    admins: tuple[str, ...]
    consumers: tuple[str, ...]
    kafka: str
    archive: str
    postgres: str
    valkey: str
    stats: str
    spool: str
    sdkappid: int
    ledger: str
    pids: str
    logs: str


def command(name: str) -> list[str]:
    """Return the command of a service in SERVICES."""
    if name in REPLICAS:
        module = ["ingress"]
    elif name in CONSUMERS:
        module = ["consumers", name]
    else:
        module = [f"consumers.{name}"]
    return [sys.executable, "-m", *module]


def environment(
    name: str, addresses: StackAddresses, *, port: int, admin_port: int
) -> dict[str, str]:
    """
    Return the environment of a service in SERVICES.

    Variables for other Hookline processes, which the user's shell may have, are left out.
    """
    inherited = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(PREFIXES)
    }
    own_variables = (
        _ingress(addresses, port, admin_port)
        if name in REPLICAS
        else _consumer_or_stats(name, addresses, port)
    )
    return inherited | {"HOOKLINE_BOOTSTRAP_SERVERS": addresses.kafka, **own_variables}


def _ingress(addresses: StackAddresses, port: int, admin_port: int) -> Mapping[str, str]:
    return {
        "INGRESS_SDKAPPIDS": ",".join(SDKAPPIDS),
        # One directory for all replicas, so that one can adopt the spool of another.
        "INGRESS_SPOOL_DIR": addresses.spool,
        "INGRESS_HOST": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "INGRESS_PATH": PATH,
        "INGRESS_ADMIN_PORT": str(admin_port),
        "INGRESS_UNREADY_S": "0",
    }


def _consumer_or_stats(name: str, addresses: StackAddresses, port: int) -> Mapping[str, str]:
    return {
        "archive": {
            "CONSUMER_ADMIN_PORT": str(port),
            "ARCHIVE_URL": addresses.archive,
            "ARCHIVE_SEGMENT_AGE_S": "1",
        },
        "sync": {"CONSUMER_ADMIN_PORT": str(port), "SYNC_POSTGRES": addresses.postgres},
        "counters": {"CONSUMER_ADMIN_PORT": str(port), "COUNTERS_VALKEY": addresses.valkey},
        "stats": {
            "STATS_PORT": str(port),
            "STATS_VALKEY": addresses.valkey,
            "STATS_INGRESS": ",".join(addresses.admins),
            "STATS_CONSUMERS": ",".join(addresses.consumers),
        },
    }[name]
