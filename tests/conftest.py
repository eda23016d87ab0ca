"""What all tests share."""

import os
import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from valkey import Valkey

from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey

# One profile for people and CI: derandomized, so that a red run can be repeated.
settings.register_profile(
    "house",
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL for the whole run."""
    with child.running(EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A real Valkey for the whole run."""
    with child.running(EmbeddedValkey(tmp_path_factory.mktemp("valkey"))) as server:
        yield server


@pytest.fixture
def conninfo(postgres_server: EmbeddedPostgres) -> str:
    """An empty database of the test's own."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return f"postgresql://hookline@127.0.0.1:{postgres_server.port}/{name}"


@pytest.fixture
def valkey_url(valkey_server: EmbeddedValkey) -> str:
    """An empty Valkey."""
    with Valkey.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """What prints a test's counts, also where it passes."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text} ", end="", flush=True)  # noqa: T201

    return line
