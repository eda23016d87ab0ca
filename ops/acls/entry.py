"""One ACL of Kafka: a principal may, or must not, do something to a resource."""

from enum import IntEnum
from typing import NamedTuple

import orjson

ANY_HOST = "*"
# Kafka has one resource of the type CLUSTER, with this name.
CLUSTER = "kafka-cluster"


class ResourceType(IntEnum):
    """The types of resources, by the numbers of Kafka's protocol."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class Pattern(IntEnum):
    """How the name of an ACL selects resources."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """The operations, by the numbers of Kafka's protocol."""

    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class Permission(IntEnum):
    """Whether an ACL allows or denies."""

    DENY = 2
    ALLOW = 3


class AclEntry(NamedTuple):
    """
    An ACL with all its parts, in the order of Kafka's requests.

    The numbers may be ones that the enumerations lack: a later Kafka may have more of them.
    """

    resource_type: int
    name: str
    pattern: int
    principal: str
    host: str
    operation: int
    permission: int

    def __str__(self) -> str:
        """Return the entry in words, such as `User:archive may read topic tim.callbacks.v1`."""
        verb = "must not" if self.permission == Permission.DENY else "may"
        kind = _words(ResourceType, self.resource_type)
        is_prefix = self.pattern == Pattern.PREFIXED
        name = f"{self.name}… (prefix)" if is_prefix else self.name
        host = "" if self.host == ANY_HOST else f" from {self.host}"
        return f"{self.principal} {verb} {_words(Operation, self.operation)} {kind} {name}{host}"


def _words(numbers: type[IntEnum], number: int) -> str:
    if number not in set(numbers):
        return f"{numbers.__name__} {number}"
    return numbers(number).name.lower().replace("_", " ")


def encoded(entry: AclEntry) -> bytes:
    """Return the entry as the key of a record."""
    return orjson.dumps(tuple(entry))


def decoded(key: bytes) -> AclEntry:
    """
    Return the entry of a key.

    Raises:
        ValueError: `encoded` did not make it.
    """
    match orjson.loads(key):
        case [int(kind), str(name), int(pattern), str(who), str(host), int(verb), int(permission)]:
            return AclEntry(kind, name, pattern, who, host, verb, permission)
    raise ValueError("it is not an ACL")
