"""Set the password of a user of Kafka by a request, which aiokafka lacks; Kafka's tool is a JVM."""

import hashlib
import os

from aiokafka.client import AIOKafkaClient
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

from schemas.clients import started

# Kafka's number of SCRAM-SHA-512, and the fewest iterations that it accepts.
_SHA_512, _ITERATIONS = 2, 4096


class _Altered(Response):
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


class _Alter(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _Altered
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
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


class _AlterUserScramCredentials(Request[_Alter]):
    API_KEY = 51

    def __init__(self, user: str, password: str) -> None:
        salt = os.urandom(16)
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
        tags: dict[int, bytes] = {}
        self._upsertion = (user, _SHA_512, _ITERATIONS, salt, salted, tags)

    def build(self, request_struct_class: type[_Alter]) -> _Alter:
        return request_struct_class([], [self._upsertion], {})


async def set_scram_password(address: str, user: str, password: str) -> None:
    """Set the password of `user`, which may be new, for SCRAM-SHA-512."""
    async with started(AIOKafkaClient(bootstrap_servers=address), 180) as client:
        request = _AlterUserScramCredentials(user, password)
        response = await client.send(client.get_random_node(), request)
        ((_, error, message, _),) = response.results
        assert error == 0, message
