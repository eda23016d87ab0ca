"""Services and commands on a broker with TLS and SASL, also while its password changes."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from support.kafka import secured
from support.kafka.secured import ADMIN, PASSWORD, SecuredBroker
from support.processes.command import run_hookline
from support.processes.consumer import Consumer, members
from support.processes.ingress import Connection, Ingress, post, until

from ops.demo.embedded import child
from ops.records.committed_records import reader_of_existing
from schemas import client_parts, token_command
from schemas.clients import started
from schemas.kafka_access import kafka_access
from schemas.kafka_security import KAFKA_VARIABLES_PREFIX
from schemas.topics import CALLBACKS

CHANGED = "second-secret"


@pytest.fixture
def own_secured_broker(tmp_path: Path) -> Iterator[SecuredBroker]:
    """Yield a broker of the test's own, which it may kill."""
    with child.running(SecuredBroker(tmp_path / "secured", session_ms=1000)) as broker:
        yield broker


class Services:
    """An ingress and an archive that reach a broker by SCRAM-SHA-512 over TLS."""

    def __init__(self, broker: SecuredBroker, directory: Path) -> None:
        address = broker.address_of(secured.SCRAM)
        self.ingress = Ingress(directory / "spool", address)
        self.archive = Consumer(
            "archive",
            address,
            directory / "archive.log",
            env={"ARCHIVE_URL": str(directory / "archive"), "ARCHIVE_SEGMENT_AGE_S": "1"},
        )
        self._sent = 0

    async def archive_one_more(self) -> None:
        """Send a callback, and return when the archive has it."""
        connection = await Connection.open(self.ingress.port)
        connection.send(
            post(b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","MsgId":"%d"}' % self._sent)
        )
        assert (await connection.answer()).status == 200
        connection.close()
        self._sent += 1
        await self.ingress.until_forwarded()
        await until(self._has_archived, f"callback {self._sent} is in the archive")

    async def _has_archived(self) -> bool:
        return (await self.archive.measure()).get("records_total", 0) >= self._sent

    async def are_cut_off(self) -> bool:
        """Return whether both services say that they do not reach Kafka."""
        status, metrics = await self.ingress.status(), await self.archive.measure()
        return not status["forwarding"] and metrics["kafka_up"] == 0

    async def archive_knows_the_cause(self) -> bool:
        """Return whether /status of the archive says why its running member is cut off."""
        answer = await self.archive.get("/status")
        return answer is not None and b"the broker rejects the credentials" in answer.body

    def logs(self) -> list[str]:
        """Return the log of each service."""
        return [log.read_text() for log in (self.ingress.log, self.archive.log)]


async def test_a_password_changes_without_a_restart(
    own_secured_broker: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both services fail with the old password until the file has the new one, then continue."""
    broker = own_secured_broker
    await broker.make_topics()
    for name, value in broker.env(secured.SCRAM, user=ADMIN).items():
        monkeypatch.setenv(name, value)
    services = Services(broker, tmp_path)
    with contextlib.ExitStack() as running:
        running.callback(services.ingress.kill)
        running.callback(services.archive.kill)
        services.archive.launch()
        await services.ingress.start()
        await services.archive_one_more()
        _, (member,) = await members(broker.address, "archive")
        assert member.startswith("hookline-archive-")
        await broker.set_password(ADMIN, CHANGED)
        # All connections end, and the new ones need the new password.
        broker.kill()
        await broker.start_again()
        await until(services.are_cut_off, "neither service reaches Kafka")
        await until(services.archive_knows_the_cause, "the archive has the cause")
        broker.env(secured.SCRAM, user=ADMIN, password=CHANGED)
        await services.archive_one_more()
    assert not any(secret in log for secret in (PASSWORD, CHANGED) for log in services.logs())


@pytest.mark.parametrize("listener", [secured.SCRAM, secured.PLAIN, secured.MUTUAL])
async def test_the_settings_reach_every_kind_of_listener(
    secured_broker: SecuredBroker, listener: str
) -> None:
    """By password and by certificate; the topics are visible to this user alone."""
    env = secured_broker.env(listener, user=ADMIN)
    kafka = kafka_access(env["HOOKLINE_BOOTSTRAP_SERVERS"], own_settings(env))
    async with reader_of_existing(kafka, CALLBACKS.name) as client:
        assert CALLBACKS.name in await client.topics()


def own_settings(env: dict[str, str]) -> dict[str, str]:
    """Return the variables without the address."""
    return {name: value for name, value in env.items() if name.startswith(KAFKA_VARIABLES_PREFIX)}


def hookline(*arguments: str, env: dict[str, str]) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    ran = run_hookline(*arguments, env=os.environ | env, is_merged=True)
    return ran.returncode, ran.stdout


def test_a_command_authenticates_as_the_services(secured_broker: SecuredBroker) -> None:
    """Also for an address on its command line."""
    env = own_settings(secured_broker.env(secured.SCRAM, user=ADMIN))
    command = ("dead-letters", "ls", "--kafka", secured_broker.address_of(secured.SCRAM))
    code, output = hookline(*command, env=env)
    assert (code, output.strip()) == (0, "no dead letters")


def test_a_command_reports_all_faults_of_the_settings() -> None:
    """In one line, as every failure."""
    env = {
        f"{KAFKA_VARIABLES_PREFIX}SECURITY_PROTOCOL": "SASL_SSL",
        f"{KAFKA_VARIABLES_PREFIX}CA_FILE": "/nowhere",
    }
    code, output = hookline("topics", "apply", env=env)
    assert code == 2
    assert output.startswith("hookline: the settings of Kafka cannot be used: ")
    assert "SASL_MECHANISM is not set" in output
    assert "/nowhere" in output


async def change_password(broker: SecuredBroker, user: str, client: AIOKafkaClient) -> None:
    """Change it at the broker, then in the file; check that `client` is refused, then accepted."""
    await broker.set_password(user, CHANGED)
    close_connections(client)
    assert not await client.force_metadata_update()
    broker.env(secured.SCRAM, user=user, password=CHANGED)
    await until(client.force_metadata_update, "the client authenticates again")


async def test_a_client_that_runs_for_long_uses_a_new_password(
    secured_broker: SecuredBroker,
) -> None:
    """Its next connections authenticate with the file's content."""
    user = "rotating"
    await secured_broker.set_password(user, PASSWORD)
    env = secured_broker.env(secured.SCRAM, user=user)
    kafka = kafka_access(env["HOOKLINE_BOOTSTRAP_SERVERS"], own_settings(env))
    client = AIOKafkaClient(**kafka.options())
    async with started(client, 180, kafka):
        await change_password(secured_broker, user, client)


async def test_a_new_client_authenticates_while_the_password_is_being_written(
    secured_broker: SecuredBroker,
) -> None:
    """The file is empty, then has the new password; each client gets to the broker."""
    user = "written-in-place"
    await secured_broker.set_password(user, PASSWORD)
    env = secured_broker.env(secured.SCRAM, user=user)
    kafka = kafka_access(env["HOOKLINE_BOOTSTRAP_SERVERS"], own_settings(env))
    async with started(AIOKafkaClient(**kafka.options()), 180, kafka):
        pass
    secured_broker.secret_file(f"{user}-password", "")
    async with started(AIOKafkaClient(**kafka.options()), 180, kafka) as client:
        await change_password(secured_broker, user, client)


async def test_a_client_that_runs_for_long_uses_a_new_certificate(
    secured_broker: SecuredBroker, tmp_path: Path
) -> None:
    """One of another authority is refused; the next one in the file is used."""
    env = secured_broker.env(secured.MUTUAL, user=ADMIN)
    accepted = secured_broker.certificates.client(ADMIN).read_bytes()
    file = tmp_path / "certificate.pem"
    file.write_bytes(accepted)
    env[f"{KAFKA_VARIABLES_PREFIX}CERTIFICATE_FILE"] = str(file)
    kafka = kafka_access(env["HOOKLINE_BOOTSTRAP_SERVERS"], own_settings(env))
    client = AIOKafkaClient(**kafka.options())

    async def is_refused() -> bool:
        close_connections(client)
        return not await client.force_metadata_update()

    async with started(client, 180, kafka):
        file.write_bytes(secured_broker.certificates.foreign_client.read_bytes())
        await until(is_refused, "the certificate of another authority is refused")
        file.write_bytes(accepted)
        await until(client.force_metadata_update, "the client authenticates again")


async def test_a_client_continues_after_its_token_has_expired(
    secured_broker: SecuredBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker ends the connection then; the next one has a new token from the command."""
    monkeypatch.setattr(token_command, "RENEW_BEFORE_S", 0.5)
    runs, script = tmp_path / "runs", tmp_path / "print_token.py"
    script.write_text(
        "import sys; from support.kafka.secured import ADMIN, unsecured_token\n"
        f"open({str(runs)!r}, 'a').write('x'); print(unsecured_token(ADMIN, valid_s=2))\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    env = secured_broker.env(secured.OAUTH, user=ADMIN)
    env[f"{KAFKA_VARIABLES_PREFIX}TOKEN_COMMAND"] = shlex.join([sys.executable, str(script)])
    kafka = kafka_access(env["HOOKLINE_BOOTSTRAP_SERVERS"], own_settings(env))
    client = AIOKafkaClient(**kafka.options())

    async def was_refused() -> bool:
        return not await client.force_metadata_update()

    async with started(client, 180, kafka):
        await until(was_refused, "the broker ends the connection")
        await until(client.force_metadata_update, "the client authenticates again")
    assert len(runs.read_text()) >= 2


def close_connections(client: AIOKafkaClient) -> None:
    """Close the connections as a broker would."""
    for connection in client_parts.all_connections(client):
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
