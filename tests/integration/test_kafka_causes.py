"""A client with wrong settings fails with the cause, and with the setting to change."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NodeNotReadyError
from support.kafka.broker import LONG_SESSION_MS, running_broker
from support.kafka.secured import OAUTH, PASSWORD, SCRAM, SecuredBroker, unsecured_token
from support.kafka.wrong_settings import KAFKA, SERVERS, wrong_addresses, wrong_logins

from ops.demo.embedded import child
from schemas import clients, kafka_probe, token_command
from schemas.clients import started
from schemas.kafka_access import kafka_access
from schemas.kafka_outage import KafkaUnreachable, NotAuthorized
from schemas.topics import CALLBACKS
from schemas.transaction_state import end_last_transaction


def options(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a client whose process has the variables `env`."""
    present = {name: value for name, value in env.items() if value}
    return kafka_access(env[SERVERS], present).options("test")


async def failure(env: Mapping[str, str], start_s: float = 180) -> str:
    """Return the error of a client that does not start."""
    with pytest.raises(KafkaUnreachable) as unreachable:
        async with started(AIOKafkaClient(**options(env)), start_s):
            pass
    return str(unreachable.value)


@pytest.mark.parametrize("wrong_settings", [wrong_addresses, wrong_logins])
async def test_the_error_has_the_cause_and_the_setting(
    secured_broker: SecuredBroker, wrong_settings: Any
) -> None:
    """The texts are complete, so they contain no password, no token and no command."""
    found, expected = {}, {}
    for name, wrong in wrong_settings(secured_broker).items():
        env = secured_broker.env(wrong.listener) | wrong.changes
        found[name] = await failure(env)
        expected[name] = f"Kafka at {env[SERVERS]} cannot be used: {wrong.cause}"
    assert found == expected


async def test_the_name_in_the_certificate_may_be_ignored(secured_broker: SecuredBroker) -> None:
    """The authority is checked all the same."""
    address = {SERVERS: secured_broker.address_of(SCRAM, "127.0.0.1")}
    env = secured_broker.env(SCRAM) | address | {f"{KAFKA}CHECK_HOSTNAME": "false"}
    async with started(AIOKafkaClient(**options(env)), 180) as client:
        assert client.cluster.brokers()
    env[f"{KAFKA}CA_FILE"] = str(secured_broker.certificates.other_authority)
    assert "the broker's certificate is not trusted" in await failure(env)


async def test_a_server_that_says_nothing_or_speaks_http_is_no_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A text for both addresses has two sentences; a text for one cause has all addresses."""
    monkeypatch.setattr(kafka_probe, "ADDRESS_S_MAX", 0.5)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as http:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            ports = (http.sockets[0].getsockname()[1], silent.getsockname()[1])
            env = {SERVERS: ",".join(f"127.0.0.1:{port}" for port in ports)}
            text = await failure(env, start_s=0.5)
    an_http_server = (
        f"Kafka at 127.0.0.1:{ports[0]} cannot be used: an HTTP server answers at this port; check "
        "HOOKLINE_BOOTSTRAP_SERVERS (of a command: --kafka)"
    )
    a_silent_one = (
        f"Kafka at 127.0.0.1:{ports[1]} cannot be used: within 0.5 s it does not answer, but "
        "accepts connections: it hangs, or is no broker"
    )
    assert sorted(text.split(". ")) == sorted([an_http_server, a_silent_one])
    addresses = (f"localhost:{child.free_port()}", f"localhost:{child.free_port()}")
    text = await failure({SERVERS: ",".join(addresses)})
    assert text.startswith(f"Kafka at {', '.join(sorted(addresses))} cannot be used: the connect")


async def test_a_token_command_that_hangs_is_the_cause(
    secured_broker: SecuredBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take longer than a broker."""
    monkeypatch.setattr(kafka_probe, "ADDRESS_S_MAX", 0.2)
    monkeypatch.setattr(token_command, "COMMAND_S_MAX", 0.6)
    env = secured_broker.env(OAUTH) | {f"{KAFKA}TOKEN_COMMAND": "sleep 1000"}
    text = await failure(env)
    assert "the client has no token: HOOKLINE_KAFKA_TOKEN_COMMAND did not end within 0.6 s" in text


async def test_a_token_that_the_broker_rejects_is_not_used_again(
    secured_broker: SecuredBroker,
) -> None:
    """It may have been revoked long before it expires."""
    day_s = 86_400
    token = secured_broker.secret_file("revoked", unsecured_token("", valid_s=day_s))
    env = secured_broker.env(OAUTH) | {f"{KAFKA}TOKEN_COMMAND": f"cat {token}"}
    assert "the broker rejects the credentials" in await failure(env)
    token.write_text(unsecured_token("hookline", valid_s=day_s))
    async with started(AIOKafkaClient(**options(env)), 180) as client:
        assert client.cluster.brokers()


async def test_an_address_that_a_broker_advertises_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used only after the start, and is no cause any more after it was used for long."""
    advertised = "advertised.listeners=PLAINTEXT://kafka.invalid:9092\n"
    cause = r"^Kafka at kafka\.invalid:9092 cannot be used: the name cannot be resolved"
    with running_broker(tmp_path, session_ms=LONG_SESSION_MS, properties=advertised) as broker:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        with pytest.raises(KafkaUnreachable, match=cause):
            async with started(admin, 180):
                await admin.list_topics()
        producer = AIOKafkaProducer(bootstrap_servers=broker.address, transactional_id="causes")
        # The address in the settings works, so this need not be the cause.
        others = r".*\. Other addresses can be used; the client failed with: TimeoutError\("
        with pytest.raises(KafkaUnreachable, match=cause + others):
            async with started(producer, 1):
                pass
        monkeypatch.setattr(clients, "SETTINGS_PROVEN_S", 0.0)
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        with pytest.raises(NodeNotReadyError):
            async with started(admin, 180):
                await admin.list_topics()


async def test_the_first_request_of_a_forwarder_names_its_transactional_id(
    secured_broker: SecuredBroker,
) -> None:
    """The error of aiokafka has no id."""
    user = "without-transactions"
    await secured_broker.set_password(user, PASSWORD)
    env = secured_broker.env(SCRAM, user=user)
    kafka = kafka_access(env[SERVERS], env)
    with pytest.raises(NotAuthorized, match='for the transactional id "forwarder-1"; give it'):
        await end_last_transaction(kafka, kafka.transactional_id("forwarder-1"))


async def transact(access: Mapping[str, Any], group: str) -> None:
    """Send a record and an offset in a transaction."""
    producer = AIOKafkaProducer(**access, transactional_id="causes")
    async with started(producer, 180), producer.transaction():
        await producer.send_and_wait(CALLBACKS.name, b"{}")
        offsets = {TopicPartition(CALLBACKS.name, 0): 1}
        await producer.send_offsets_to_transaction(offsets, group)


async def read(access: Mapping[str, Any], group: str) -> None:
    """Read as a member of `group`."""
    reader = AIOKafkaConsumer(**access, group_id=group, enable_auto_commit=False)
    async with started(reader, 180):
        reader.subscribe([CALLBACKS.name])
        await reader.getmany(timeout_ms=180_000)


async def test_the_error_of_a_missing_right_has_the_resource_and_the_principal(
    secured_broker: SecuredBroker,
) -> None:
    """Rights are added one by one, until the transaction is committed."""
    broker, user = secured_broker, "limited"
    await broker.set_password(user, PASSWORD)
    access = options(broker.env(SCRAM, user=user))
    topic = f'topic "{CALLBACKS.name}"'
    for resource, (operation, kind, name) in {
        'transactional id "causes"': ("Write", "TransactionalId", "causes"),
        topic: ("Write", "Topic", CALLBACKS.name),
        'group "causes"': ("Read", "Group", "causes"),
        "topic": ("Read", "Topic", CALLBACKS.name),
    }.items():
        with pytest.raises(NotAuthorized) as denied:
            await transact(access, "causes")
        assert str(denied.value) == (
            f'Kafka does not authorize "User:{user}" for the {resource}; give it the rights of '
            "its service (docs/acls.md)"
        )
        if resource == "topic":
            with pytest.raises(NotAuthorized, match=f'"User:{user}" for the {topic};'):
                await read(access, "causes")
        await broker.allow(operation, kind, name, user=user)
    await transact(access, "causes")
    with pytest.raises(NotAuthorized, match=f'"User:{user}" for the group "other";'):
        await read(access, "other")
