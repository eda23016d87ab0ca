"""The broker with TLS, SASL and ACLs refuses as it should, so that tests on it can fail."""

import ssl
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider
from support.kafka import secured
from support.kafka.secured import ADMIN, PASSWORD, SecuredBroker, unsecured_token

from schemas.clients import started
from schemas.kafka_outage import KafkaUnreachable, NotAuthorized
from schemas.topics import CALLBACKS


class Token(AbstractTokenProvider):
    """A token that never changes."""

    async def token(self) -> str:
        """Return a token for ADMIN."""
        return unsecured_token(ADMIN)


def over_tls(broker: SecuredBroker, listener: str) -> dict[str, Any]:
    """Return the options of a client without SASL that trusts the test's authority."""
    return {
        "bootstrap_servers": broker.address_of(listener),
        "security_protocol": "SSL",
        "ssl_context": ssl.create_default_context(cafile=broker.certificates.authority),
    }


def sasl(mechanism: str, user: str, password: str = PASSWORD) -> dict[str, Any]:
    """Return the options of a client that authenticates by SASL over TLS."""
    credentials = {"sasl_plain_username": user, "sasl_plain_password": password}
    return {"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism, **credentials}


async def send(broker: SecuredBroker, user: str, password: str) -> None:
    """Send a record in a transaction, by SCRAM-SHA-512 over TLS."""
    options = over_tls(broker, secured.SCRAM) | sasl("SCRAM-SHA-512", user, password)
    producer = AIOKafkaProducer(**options, transactional_id="test-1")
    async with started(producer, 180), producer.transaction():
        await producer.send_and_wait(CALLBACKS.name, b"{}")


async def read(broker: SecuredBroker, listener: str, **more: Any) -> bytes | None:
    """Return the first committed record's value; other tests may have sent it."""
    reader = AIOKafkaConsumer(
        CALLBACKS.name,
        **over_tls(broker, listener) | more,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with started(reader, 180):
        value: bytes | None = (await reader.getone()).value
    return value


async def test_a_user_needs_rights_and_the_present_password(secured_broker: SecuredBroker) -> None:
    """A transaction by SCRAM-SHA-512 is read by SCRAM-SHA-256, PLAIN, token and certificate."""
    broker, user = secured_broker, "sender"
    await broker.set_password(user, PASSWORD)
    with pytest.raises(NotAuthorized):
        await send(broker, user, PASSWORD)
    await broker.allow("Write", "TransactionalId", "test*", user=user)
    await broker.allow("Write", "Topic", CALLBACKS.name, user=user)
    await send(broker, user, PASSWORD)
    assert await read(broker, secured.SCRAM, **sasl("SCRAM-SHA-256", ADMIN))
    assert await read(broker, secured.PLAIN, **sasl("PLAIN", ADMIN))
    token = {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Token()}
    assert await read(broker, secured.OAUTH, security_protocol="SASL_SSL", **token)
    context = ssl.create_default_context(cafile=broker.certificates.authority)
    context.load_cert_chain(broker.certificates.client(ADMIN))
    assert await read(broker, secured.MUTUAL, ssl_context=context)
    await broker.set_password(user, "second-secret")
    await send(broker, user, "second-secret")
    with pytest.raises(KafkaUnreachable, match="the broker rejects the credentials"):
        await send(broker, user, PASSWORD)
