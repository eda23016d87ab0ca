"""A client with wrong settings fails with the cause, and with the setting to change."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from support.kafka.secured import (
    EXPIRED,
    MUTUAL,
    OAUTH,
    PASSWORD,
    PLAIN,
    SCRAM,
    WITHOUT_TLS,
    SecuredBroker,
    unsecured_token,
)

from ops.demo.embedded import child
from schemas import kafka_probe
from schemas.clients import started
from schemas.kafka_access import kafka_access
from schemas.kafka_outage import KafkaUnreachable, NotAuthorized
from schemas.topics import CALLBACKS

WRONG = "never-show-this"
KAFKA = "HOOKLINE_KAFKA_"
SERVERS, PROTOCOL = "HOOKLINE_BOOTSTRAP_SERVERS", f"{KAFKA}SECURITY_PROTOCOL"
SCRAM_REJECTED = (
    "Authentication failed during authentication due to invalid credentials with SASL mechanism "
    "SCRAM-SHA-512"
)
CHECK_CREDENTIALS = (
    "check the user 'hookline' in HOOKLINE_KAFKA_USER_FILE and the password in "
    "HOOKLINE_KAFKA_PASSWORD_FILE"
)


class Wrong(NamedTuple):
    """What is wrong: variables that are changed, "" to remove one; and the cause without it."""

    listener: str
    changes: Mapping[str, str]
    cause: str


def wrong_addresses(broker: SecuredBroker) -> dict[str, Wrong]:
    """Return settings with which no TLS connection is made."""
    other_name = broker.address_of(SCRAM, "127.0.0.1")
    return {
        "name": Wrong(
            SCRAM,
            {SERVERS: "kafka.invalid:9092"},
            "the name cannot be resolved (Name or service not known); check "
            "HOOKLINE_BOOTSTRAP_SERVERS (--kafka) and the DNS",
        ),
        "port": Wrong(
            SCRAM,
            {SERVERS: f"localhost:{child.free_port()}"},
            "the connection is refused; check HOOKLINE_BOOTSTRAP_SERVERS (--kafka), and that the "
            "broker runs and no firewall refuses the port",
        ),
        "TLS to a port without TLS": Wrong(
            WITHOUT_TLS,
            {PROTOCOL: "SASL_SSL"},
            "the connection was closed in the TLS handshake; if this port uses no TLS, change "
            "HOOKLINE_KAFKA_SECURITY_PROTOCOL (it is SASL_SSL)",
        ),
        "no TLS to a port with TLS": Wrong(
            SCRAM,
            {PROTOCOL: "SASL_PLAINTEXT", f"{KAFKA}CA_FILE": ""},
            "this port uses TLS; set HOOKLINE_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL",
        ),
        "authority": Wrong(
            SCRAM,
            {f"{KAFKA}CA_FILE": str(broker.certificates.other_authority)},
            "the broker's certificate is not trusted (unable to get local issuer certificate); "
            "set HOOKLINE_KAFKA_CA_FILE to the certificates of the authority that signed it",
        ),
        "expired": Wrong(
            EXPIRED, {}, "the broker's certificate has expired; renew it at the broker"
        ),
        "other name": Wrong(
            SCRAM,
            {SERVERS: other_name},
            "the broker's certificate is for another name (IP address mismatch, certificate is "
            "not valid for '127.0.0.1'.); use a name of the certificate in "
            "HOOKLINE_BOOTSTRAP_SERVERS (--kafka) and in the broker's advertised.listeners",
        ),
    }


def wrong_logins(broker: SecuredBroker) -> dict[str, Wrong]:
    """Return settings with which a broker does not accept the client."""
    password = {f"{KAFKA}PASSWORD_FILE": str(broker.secret_file("wrong", WRONG))}
    token = broker.secret_file("expired-token", unsecured_token(WRONG, valid_s=-1000))
    foreign = {f"{KAFKA}CERTIFICATE_FILE": str(broker.certificates.foreign_client)}
    sasl = [f"{KAFKA}{name}" for name in ("SASL_MECHANISM", "USER_FILE", "PASSWORD_FILE")]
    return {
        "no client certificate": Wrong(
            MUTUAL,
            {f"{KAFKA}CERTIFICATE_FILE": ""},
            "the broker demands a certificate of the client; set HOOKLINE_KAFKA_CERTIFICATE_FILE "
            "and HOOKLINE_KAFKA_KEY_FILE",
        ),
        "client certificate": Wrong(
            MUTUAL,
            foreign,
            "the broker ended the TLS handshake (SSLV3_ALERT_CERTIFICATE_UNKNOWN); check "
            "HOOKLINE_KAFKA_CERTIFICATE_FILE: the broker must trust its authority, and it must "
            "not have expired",
        ),
        "mechanism": Wrong(
            SCRAM,
            {f"{KAFKA}SASL_MECHANISM": "PLAIN"},
            "the broker does not offer the SASL mechanism PLAIN, but SCRAM-SHA-256, "
            "SCRAM-SHA-512; change HOOKLINE_KAFKA_SASL_MECHANISM",
        ),
        "SASL to a port without it": Wrong(
            WITHOUT_TLS,
            {SERVERS: broker.address},
            "this port authenticates no client by SASL; change HOOKLINE_KAFKA_SECURITY_PROTOCOL "
            "(it is SASL_PLAINTEXT)",
        ),
        "no SASL": Wrong(
            WITHOUT_TLS,
            {PROTOCOL: "PLAINTEXT"} | dict.fromkeys(sasl, ""),
            "the connection was closed after the first request; if this port uses TLS or SASL, "
            "change HOOKLINE_KAFKA_SECURITY_PROTOCOL (it is PLAINTEXT)",
        ),
        "password": Wrong(
            SCRAM,
            password,
            f'the broker rejects the credentials ("{SCRAM_REJECTED}"); {CHECK_CREDENTIALS}',
        ),
        "password, by PLAIN": Wrong(
            PLAIN,
            password,
            'the broker rejects the credentials ("Authentication failed: Invalid username or '
            f'password"); {CHECK_CREDENTIALS}',
        ),
        "token": Wrong(
            OAUTH,
            {f"{KAFKA}TOKEN_COMMAND": f"cat {token}"},
            "the broker rejects the credentials; check the token that HOOKLINE_KAFKA_TOKEN_COMMAND "
            "prints",
        ),
        "token command": Wrong(
            OAUTH,
            {f"{KAFKA}TOKEN_COMMAND": f"false {WRONG}"},
            "the client has no token: HOOKLINE_KAFKA_TOKEN_COMMAND ended with code 1 and printed "
            "nothing",
        ),
    }


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
        "HOOKLINE_BOOTSTRAP_SERVERS (--kafka)"
    )
    a_silent_one = (
        f"Kafka at 127.0.0.1:{ports[1]} cannot be used: within 0.5 s it does not answer, but "
        "accepts connections: it hangs, or is no broker"
    )
    assert sorted(text.split(". ")) == sorted([an_http_server, a_silent_one])
    addresses = (f"localhost:{child.free_port()}", f"localhost:{child.free_port()}")
    text = await failure({SERVERS: ",".join(addresses)})
    assert text.startswith(f"Kafka at {', '.join(sorted(addresses))} cannot be used: the connect")


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
