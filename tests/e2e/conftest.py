"""Fixtures of the black-box tests: a running demo, a broker, and ingress processes."""

import asyncio
from collections.abc import Iterator

import pytest
from support.kafka.broker import LONG_SESSION_MS, Broker, running_broker
from support.kafka.quick_start import prepare
from support.processes.blackbox import Demo, demo
from support.processes.new_ingress import new_ingress

__all__ = ["new_ingress"]


@pytest.fixture(scope="session", autouse=True)
def quick_start() -> None:
    """Have embedded brokers start fast; the first run on a machine takes some seconds for it."""
    prepare()


# The broker refuses producers whose transactions may stay open for longer, and hold up readers.
TRANSACTION_MS_MAX = 20_000


# Of the package: a demo or a broker that no test uses any more takes time from the other processes.
@pytest.fixture(scope="package")
def stack() -> Iterator[Demo]:
    """Yield a running demo. Tests kill its parts, so each brings its own ledger."""
    with demo() as running:
        yield running


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yield a broker with the topics, which tests may freeze and thaw, but not kill."""
    directory = tmp_path_factory.mktemp("broker")
    properties = f"transaction.max.timeout.ms={TRANSACTION_MS_MAX}\n"
    broker = running_broker(directory, session_ms=LONG_SESSION_MS, properties=properties)
    with broker as started:
        asyncio.run(started.make_topics())
        yield started
