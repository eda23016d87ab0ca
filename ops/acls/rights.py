"""The rights that each service of Hookline needs in Kafka, and those of a subscriber."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from consumers.webhook.retry_topic import retry_topic
from ingress.forward.cursor import bare_transactional_id, cursor_group
from ops.acls.entry import ANY_HOST, AclEntry, Operation, Pattern, Permission, ResourceType
from ops.dead_letters.to_topic import TRANSACTIONAL_ID as DEAD_LETTERS_ID
from schemas.kafka_access import KafkaAccess
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS, TOPICS

_READ, _WRITE, _CREATE = Operation.READ, Operation.WRITE, Operation.CREATE
_ALTER, _DESCRIBE = Operation.ALTER, Operation.DESCRIBE
_DESCRIBE_CONFIGS, _ALTER_CONFIGS = Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS
CONSUMER_GROUPS = ("archive", "sync", "counters")
WEBHOOK_GROUPS = "webhook-"
WEBHOOK_IDS = "hookline-webhook-"
RETRY_TOPICS = retry_topic("").removesuffix(".v1")
REPLAY_GROUPS = "hookline-replay-"
# Without a prefix, an ingress's transactional ids are origins: 16 hexadecimal digits.
_ORIGIN_DIGITS = "0123456789abcdef"
# Topics of Kafka itself, whose names have no prefix.
INTERNAL_TOPICS = "__consumer_offsets", "__transaction_state"


class Right(NamedTuple):
    """
    The operations that are allowed on a resource, or to all whose names begin with `name`.

    The name is without the prefix of the pipeline's names.
    """

    kind: ResourceType
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False

    def entries(self, principal: str, kafka: KafkaAccess) -> Iterator[AclEntry]:
        """Yield the ACLs that give `principal` this right."""
        name = self.name if self.name in INTERNAL_TOPICS else kafka.topic(self.name)
        pattern = Pattern.PREFIXED if self.is_prefix else Pattern.LITERAL
        for operation in self.operations:
            yield AclEntry(
                self.kind, name, pattern, principal, ANY_HOST, operation, Permission.ALLOW
            )


def _topic(name: str, *operations: Operation, is_prefix: bool = False) -> Right:
    return Right(ResourceType.TOPIC, name, operations, is_prefix)


def _group(name: str, *operations: Operation, is_prefix: bool = False) -> Right:
    return Right(ResourceType.GROUP, name, operations, is_prefix)


def _transactional_id(name: str, *, is_prefix: bool = False) -> Right:
    return Right(ResourceType.TRANSACTIONAL_ID, name, (_WRITE,), is_prefix)


# Before and after a transaction, its leaders and those of these topics are compared.
_LEADERS = tuple(_topic(name, _DESCRIBE) for name in INTERNAL_TOPICS)
# Write, create and extend the retry topic of a webhook.
_RETRY_CHANGES = (_WRITE, _CREATE, _ALTER, _DESCRIBE_CONFIGS)


def _consumer(group: str) -> tuple[Right, ...]:
    return (
        _topic(CALLBACKS.name, _READ),
        _topic(DEAD_LETTERS.name, _WRITE),
        _group(group, _READ),
    )


# The rights to what `hookline status` and the statistics ask for.
_STATISTICS = (
    _topic(CALLBACKS.name, _READ, _DESCRIBE_CONFIGS),
    _topic(DEAD_LETTERS.name, _READ),
    _topic(ACTIONS.name, _READ),
    *(_group(name, _DESCRIBE) for name in CONSUMER_GROUPS),
    _group(WEBHOOK_GROUPS, _DESCRIBE, is_prefix=True),
)
# `hookline audit`, `find`, `status`, `counters rebuild`, `dead-letters ls` and `show`.
_READER = (*_STATISTICS, _topic(RETRY_TOPICS, _READ, is_prefix=True))

# Without the transactional ids of the ingress, see `service_rights`.
SERVICES: Mapping[str, tuple[Right, ...]] = {
    "ingress": (
        # A transaction that commits the offset of a topic needs the right to read that topic.
        _topic(CALLBACKS.name, _READ, _WRITE),
        _topic(DEAD_LETTERS.name, _READ, _WRITE),
        *_LEADERS,
        _group(cursor_group(""), _READ, is_prefix=True),
    ),
    **{name: _consumer(name) for name in CONSUMER_GROUPS},
    "statistics": _STATISTICS,
    "reader": _READER,
    # `hookline dead-letters`, `replay`, and all that a reader does.
    "operator": (
        *_READER,
        _topic(CALLBACKS.name, _WRITE),
        _topic(DEAD_LETTERS.name, _WRITE),
        _topic(ACTIONS.name, _WRITE),
        _topic(RETRY_TOPICS, *_RETRY_CHANGES, is_prefix=True),
        *_LEADERS,
        _transactional_id(DEAD_LETTERS_ID),
        _transactional_id(WEBHOOK_IDS, is_prefix=True),
        _group(DEAD_LETTERS_ID, _READ),
        _group(REPLAY_GROUPS, _READ, is_prefix=True),
    ),
    # `hookline topics` without ACLs.
    "topics": tuple(
        _topic(topic.name, _CREATE, _ALTER, _DESCRIBE_CONFIGS, _ALTER_CONFIGS) for topic in TOPICS
    ),
}


def service_rights(name: str, kafka: KafkaAccess) -> tuple[Right, ...]:
    """Return the rights of a service of SERVICES in the pipeline that `kafka` is the access to."""
    if name != "ingress":
        return SERVICES[name]
    beginnings = ("",) if kafka.prefix else _ORIGIN_DIGITS
    ids = (
        _transactional_id(bare_transactional_id(kafka, each), is_prefix=True) for each in beginnings
    )
    return (*SERVICES[name], *ids)


def webhook_rights(target: str) -> tuple[Right, ...]:
    """Return the rights of the webhook with the name `target`."""
    return (
        *_consumer(WEBHOOK_GROUPS + target),
        _topic(retry_topic(target), _READ, *_RETRY_CHANGES),
        *_LEADERS,
        _transactional_id(f"{WEBHOOK_IDS}{target}-", is_prefix=True),
    )


def subscriber_rights(topics: list[str], group_prefix: str, dead_letters: str) -> tuple[Right, ...]:
    """Return the rights of a subscriber: to read `topics`, and to a topic and groups of its own."""
    return (
        *(_topic(name, _READ) for name in topics),
        *((_topic(dead_letters, _READ, _WRITE),) if dead_letters else ()),
        _group(group_prefix, _READ, is_prefix=True),
    )
