"""
Give each user of the services in Kafka its password: SCRAM-SHA-512, from the files of `passwords`.

Kafka keeps SCRAM users in its own metadata, so this runs at each `docker compose up`: for a new
cluster, for one of a release without users, and for one that was restored with other passwords.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import time
from pathlib import Path
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

# A folder for each user, with the files `user` and `password`.
USERS = Path("/var/lib/hookline/passwords/kafka")
# The brokers show each other this user's password by PLAIN. It has all rights, so it has no SCRAM
# credentials, which the listeners for this machine and for others would accept.
BROKER = "hookline-broker"
SCRAM_SHA_512 = 2
# Kafka's error code for the deletion of a user that does not exist.
RESOURCE_NOT_FOUND = 91
# Kafka's own default, and the least that it accepts.
ITERATIONS = 4096
WAIT_S = 60


class AlterUsersResponse(Response):
    """The result for each user."""

    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUsersRequest(RequestStruct):
    """AlterUserScramCredentials, which aiokafka lacks."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = AlterUsersResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("tags", TaggedFields),
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUsers(Request[AlterUsersRequest]):
    """Set the passwords of users, and delete that of the brokers' user, in one request."""

    API_KEY = AlterUsersRequest.API_KEY

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = passwords

    def build(self, request_struct_class: type[AlterUsersRequest]) -> AlterUsersRequest:
        """Return the request; Kafka gets a salted hash of each password."""
        upsertions: list[tuple[object, ...]] = []
        for user, password in self._passwords.items():
            salt = secrets.token_bytes(32)
            salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
            upsertions.append((user, SCRAM_SHA_512, ITERATIONS, salt, salted, {}))
        # Former versions of this file have made this user.
        deletions: list[tuple[object, ...]] = [(BROKER, SCRAM_SHA_512, {})]
        return request_struct_class(deletions, upsertions, {})


def passwords() -> dict[str, str]:
    """Return the password of each user."""
    return {
        file.read_text(): file.with_name("password").read_text()
        for file in sorted(USERS.glob("*/user"))
    }


async def set_passwords() -> list[str]:
    """
    Set the passwords of all users, as the broker's own user; return the users.

    Raises:
        KafkaError: Kafka cannot be reached, or refuses to set a password.
    """
    users = passwords()
    broker_password = users.pop(BROKER)
    client = AIOKafkaClient(
        bootstrap_servers=os.environ["HOOKLINE_BOOTSTRAP_SERVERS"],
        client_id="hookline-kafka-users",
        security_protocol="SASL_PLAINTEXT",
        # Kafka knows this password from its configuration, so there need not be SCRAM users yet.
        sasl_mechanism="PLAIN",
        sasl_plain_username=BROKER,
        sasl_plain_password=broker_password,
    )
    try:
        await client.bootstrap()
        answer: Any = await client.send(client.get_random_node(), AlterUsers(users))
    finally:
        await client.close()
    for user, code, message, _ in answer.results:
        if code and (user, code) != (BROKER, RESOURCE_NOT_FOUND):
            raise KafkaError(f"Kafka refuses the password of {user}: {for_code(code)}: {message}")
    return list(users)


async def main() -> None:
    """Wait until the broker serves requests, then set the passwords."""
    # aiokafka warns of PLAIN without TLS, and logs each attempt to connect that fails.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            users = await set_passwords()
        except (KafkaError, OSError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"the users of Kafka did not get their passwords: {error}; if the password of"
                    " kafka-broker is new, first restart the brokers: docker compose restart kafka"
                ) from error
            await asyncio.sleep(0.5)
        else:
            print("set the passwords of", ", ".join(users))  # noqa: T201
            return


if __name__ == "__main__":
    asyncio.run(main())
