"""
Find out why a client cannot reach Kafka: connect to each address as the client would.

aiokafka raises only "Unable to bootstrap" and logs the causes (docs/decisions/0043-kafka-probe.md).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from schemas import client_parts
from schemas.kafka_causes import (
    MESSAGE_CHARACTERS_MAX,
    Login,
    MechanismNotOffered,
    NotAccepted,
    cause_of,
)
from schemas.printable import printable
from schemas.token_command import TokenCommand

# A broker has this time to accept a connection and to answer.
ADDRESS_S_MAX = 5.0
# More addresses would have the same causes.
ADDRESSES_MAX = 8

Address = tuple[str, int]


async def why_unreachable(client: AIOKafkaClient, error: Exception) -> str:
    """
    Return why `client` cannot use Kafka; "" if each of the brokers can be used now.

    The text has `error`, with which the client failed, if only some addresses cannot be used.

    Takes at most twice ADDRESS_S_MAX: for the addresses of the settings and for those that the
    brokers advertise; more only if a command prints the token.
    """
    probe = _Probe(client)
    servers = [(host, port) for host, port, _ in client.hosts]
    advertised = await probe.check(servers)
    if advertised:
        await probe.check(advertised - {*servers})
    return probe.report(error)


def login_of(client: AIOKafkaClient) -> Login:
    """Return how `client` speaks to Kafka."""
    options = client_parts.connection_options(client)
    return Login(
        protocol=options["security_protocol"],
        mechanism=options["sasl_mechanism"],
        user=options["sasl_plain_username"],
    )


class _Probe:
    """The causes that were found, by address."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._options = client_parts.connection_options(client)
        self._login = login_of(client)
        self._causes: dict[str, list[str]] = {}
        self._has_usable_address = False

    async def check(self, addresses: Iterable[Address]) -> set[Address]:
        """Connect to `addresses` concurrently; return those that the brokers advertise."""
        checked = sorted(addresses)[:ADDRESSES_MAX]
        results = await asyncio.gather(*(self._check(host, port) for host, port in checked))
        advertised = set[Address]()
        for (host, port), (cause, brokers) in zip(checked, results, strict=True):
            advertised |= brokers
            if cause:
                self._causes.setdefault(cause, []).append(f"{host}:{port}")
            else:
                self._has_usable_address = True
        return advertised

    def report(self, error: Exception) -> str:
        """Return a sentence for each cause, and `error` if it may have another cause."""
        sentences = [
            f"Kafka at {', '.join(addresses)} cannot be used: {cause}"
            for cause, addresses in self._causes.items()
        ]
        if sentences and self._has_usable_address:
            failure = printable(repr(error), MESSAGE_CHARACTERS_MAX)
            sentences.append(f"Other addresses can be used; the client failed with: {failure}")
        return ". ".join(sentences)

    async def _check(self, host: str, port: int) -> tuple[str, set[Address]]:
        stage = "accept a connection: it is down, or a firewall drops the packets"
        provider: TokenCommand | None = self._options["sasl_oauth_token_provider"]
        token = ""
        try:
            # The command that prints a token has a longer time-out of its own.
            if provider:
                token = await provider.token()
            async with asyncio.timeout(ADDRESS_S_MAX):
                await _connect(host, port)
                stage = "answer, but accepts connections: it hangs, or is no broker"
                return "", await self._ask(host, port)
        except TimeoutError:
            return f"within {ADDRESS_S_MAX:g} s it does not {stage}", set()
        except Exception as error:  # noqa: BLE001 - each of them is a reason to report
            if provider and isinstance(error, NotAccepted | SaslAuthenticationFailed):
                provider.forget(token)
            return cause_of(error, self._login), set()

    async def _ask(self, host: str, port: int) -> set[Address]:
        """Return the brokers' addresses by their own account."""
        try:
            connection = await create_conn(host, port, **self._options)
        except UnsupportedSaslMechanismError:
            raise MechanismNotOffered(await self._offered_mechanisms(host, port)) from None
        try:
            metadata = await connection.send(MetadataRequest([]))
            if not metadata.brokers:
                # aiokafka reads the broker's refusal of a token as metadata without brokers. Then
                # the broker closes the connection.
                metadata = await connection.send(MetadataRequest([]))
        except KafkaError as error:
            raise NotAccepted from error
        finally:
            client_parts.close_now(connection)
        return {(host, port) for _, host, port, *_ in metadata.brokers}

    async def _offered_mechanisms(self, host: str, port: int) -> str:
        without_sasl = self._login.protocol.removeprefix("SASL_")
        options = self._options | {"security_protocol": without_sasl}
        connection: AIOKafkaConnection = await create_conn(host, port, **options)
        try:
            handshake: Any = await connection.send(SaslHandShakeRequest(self._login.mechanism))
        finally:
            client_parts.close_now(connection)
        return ", ".join(sorted(handshake.enabled_mechanisms))


async def _connect(host: str, port: int) -> None:
    """Open a connection and close it."""
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
    transport.abort()
