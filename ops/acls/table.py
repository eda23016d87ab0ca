"""The file that says which principal is which service, and who may subscribe (docs/acls.md)."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from consumers.webhook.settings import is_name
from ops.acls.entry import AclEntry
from ops.acls.rights import (
    CONSUMER_GROUPS,
    INTERNAL_TOPICS,
    SERVICES,
    WEBHOOK_GROUPS,
    Right,
    service_rights,
    subscriber_rights,
    webhook_rights,
)
from ops.failure import Failure
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import SELECTED_BY_ACLS
from schemas.topics import CALLBACKS, DEAD_LETTERS, TOPIC_CHARACTERS_MAX, is_topic_name

FILE_BYTES_MAX = 1 << 20
SUBSCRIBER_TOPICS = (CALLBACKS.name, DEAD_LETTERS.name)
# The other groups of ours have names that begin with one of these.
_OUR_PREFIXES = (WEBHOOK_GROUPS, "hookline-")
# Names that have one of these after any prefix may be those of another pipeline.
_OF_PIPELINES = (*SELECTED_BY_ACLS, "hookline.acls.", "hookline-dead-letters-")
# Other topics of ours, and those of Kafka itself, have names that begin with one of these.
_NOT_OF_OTHERS = ("hookline.", "__")
Part = TypeVar("Part")
_PRINCIPAL = re.compile(r"[A-Za-z]+:\S(?:.*\S)?")


class UnusableTable(Failure):
    """The file of ACLs cannot be used; the text says where it is wrong."""


class Subscriber(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """
    Another team's program: it reads topics, in groups whose names begin with a prefix.

    `dead_letters` is the topic of that team to which the program sends records that it rejects.
    """

    principal: str
    topics: list[str]
    group_prefix: str
    dead_letters: str = ""


class _Parts(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    services: dict[str, Any] = {}
    webhooks: dict[str, Any] = {}
    subscribers: list[Any] = []


class AclTable(msgspec.Struct, frozen=True):
    """The content of the file: the principals of each service, each webhook, each subscriber."""

    services: dict[str, list[str]] = {}
    webhooks: dict[str, list[str]] = {}
    subscribers: list[Subscriber] = []

    def entries(self, kafka: KafkaAccess) -> set[AclEntry]:
        """Return all ACLs that the table wants, with the names that the cluster knows."""
        return {
            entry
            for principal, rights in self._rights(kafka)
            for right in rights
            for entry in right.entries(principal, kafka)
        }

    def dead_letter_topics(self) -> list[str]:
        """Return the names of the subscribers' own dead-letter topics."""
        return sorted({each.dead_letters for each in self.subscribers if each.dead_letters})

    def _rights(self, kafka: KafkaAccess) -> Iterator[tuple[str, tuple[Right, ...]]]:
        for name, principals in self.services.items():
            yield from ((principal, service_rights(name, kafka)) for principal in principals)
        for name, principals in self.webhooks.items():
            yield from ((principal, webhook_rights(name)) for principal in principals)
        for each in self.subscribers:
            yield (
                each.principal,
                subscriber_rights(each.topics, each.group_prefix, each.dead_letters),
            )

    def faults(self, kafka: KafkaAccess) -> Iterator[str]:
        """Yield what is wrong in the pipeline that `kafka` is the access to, with the key."""
        for name in self.services.keys() - SERVICES.keys():
            yield f"services.{name}: unknown service; known are {', '.join(SERVICES)}"
        for name in self.webhooks:
            if not is_name(name):
                yield f"webhooks.{name}: must be the WEBHOOK_NAME of a webhook, such as crm"
        for key, principal in self._principals():
            if fault := _principal_fault(principal):
                yield f"{key}: {fault}"
        ours = {
            each
            for named in (self.services, self.webhooks)
            for principals in named.values()
            for each in principals
        }
        for number, each in enumerate(self.subscribers):
            key = f"subscribers[{number}]"
            if each.principal in ours:
                yield (
                    f"{key}.principal: {each.principal} is the principal of a service, too, and so"
                    " could write; give the subscriber one of its own"
                )
            if not each.topics or set(each.topics) - set(SUBSCRIBER_TOPICS):
                yield f"{key}.topics: must be one or both of {', '.join(SUBSCRIBER_TOPICS)}"
            if each.dead_letters:
                yield from _dead_letters_faults(f"{key}.dead_letters", each.dead_letters, kafka)
            yield from self._prefix_faults(f"{key}.group_prefix", each, kafka)

    def _principals(self) -> Iterator[tuple[str, str]]:
        for kind, named in (("services", self.services), ("webhooks", self.webhooks)):
            for name, principals in named.items():
                if not principals:
                    yield f"{kind}.{name}", ""
                for number, principal in enumerate(principals):
                    yield f"{kind}.{name}[{number}]", principal
        for number, each in enumerate(self.subscribers):
            yield f"subscribers[{number}].principal", each.principal

    def _prefix_faults(self, key: str, subscriber: Subscriber, kafka: KafkaAccess) -> Iterator[str]:
        prefix = subscriber.group_prefix
        if not re.fullmatch(r"[A-Za-z0-9._-]{3,100}", prefix):
            yield f"{key}: must be 3 to 100 of A-Z, a-z, 0-9, '.', '_' and '-', such as billing-"
            return
        ours = [each for each in CONSUMER_GROUPS if each.startswith(prefix)]
        if ours := ours + [each for each in _OUR_PREFIXES if overlap(prefix, each)]:
            yield f"{key}: {prefix} also selects groups of Hookline, such as {ours[0]}; rename it"
        elif part := _part_of_pipeline(kafka.group(prefix)):
            yield f"{key}: {prefix} has {part}, so it may be of another pipeline; rename it"
        for other in self.subscribers:
            is_other = other.principal != subscriber.principal
            if is_other and overlap(prefix, other.group_prefix):
                yield (
                    f"{key}: {prefix} and the {other.group_prefix} of {other.principal} select the"
                    " same groups; each would move the other's offsets"
                )


def _dead_letters_faults(key: str, topic: str, kafka: KafkaAccess) -> Iterator[str]:
    name = kafka.topic(topic)
    if not is_topic_name(topic) or not is_topic_name(name):
        yield (
            f"{key}: {name!r:.300} must be the name of a topic, at most {TOPIC_CHARACTERS_MAX} of"
            " A-Z, a-z, 0-9, '.', '_' and '-', such as billing.dead.v1"
        )
    elif topic.startswith(_NOT_OF_OTHERS) or name in INTERNAL_TOPICS or _part_of_pipeline(name):
        yield f"{key}: {name} is a topic of Hookline or Kafka; name one of the subscriber's team"


def _part_of_pipeline(name: str) -> str:
    """Return what names of Hookline have and `name` has, "" if there is nothing of the kind."""
    return next((each for each in _OF_PIPELINES if each in name), "")


def overlap(prefix: str, other: str) -> bool:
    """Return whether some names begin with both."""
    return prefix.startswith(other) or other.startswith(prefix)


def _principal_fault(principal: str) -> str:
    if not _PRINCIPAL.fullmatch(principal) or not principal.isprintable():
        return f'{principal!r:.100} must be a principal as the brokers name it, such as "User:crm"'
    if principal.endswith(":*"):
        return f"{principal} is everybody; name each principal"
    return ""


def read_table(file: Path, kafka: KafkaAccess) -> AclTable:
    """
    Return the table in `file`, for the pipeline that `kafka` is the access to.

    Raises:
        UnusableTable: it cannot be read, or is wrong.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UnusableTable(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise UnusableTable(f"{file} is larger than {FILE_BYTES_MAX} bytes")
    try:
        table = _table(tomllib.loads(content.decode()))
    except msgspec.ValidationError as error:
        raise UnusableTable(f"{file}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise UnusableTable(f"{file} is not TOML: {error}") from error
    if faults := sorted(table.faults(kafka)):
        raise UnusableTable(f"{file}: {'; '.join(faults)}")
    return table


def _table(document: dict[str, Any]) -> AclTable:
    parts = _converted(document, _Parts, "the file")
    return AclTable(
        services=_principals("services", parts.services),
        webhooks=_principals("webhooks", parts.webhooks),
        subscribers=[
            _converted(each, Subscriber, f"subscribers[{number}]")
            for number, each in enumerate(parts.subscribers)
        ],
    )


def _principals(kind: str, named: dict[str, Any]) -> dict[str, list[str]]:
    return {name: _converted(each, list[str], f"{kind}.{name}") for name, each in named.items()}


def _converted(value: Any, kind: type[Part], key: str) -> Part:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        # msgspec names neither the key of a table nor the number of an element.
        text = str(error).replace("`", "").replace(" - at $.", ": ")
        raise msgspec.ValidationError(f"{key}: {text}") from None
