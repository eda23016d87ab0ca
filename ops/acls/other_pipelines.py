"""Check that subscribers get no rights in the other pipelines on the cluster. Does no I/O."""

from collections.abc import Collection, Iterator

from ops.acls.table import AclTable, UnusableTable, overlap
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import is_prefix
from schemas.topics import CALLBACKS


def other_prefixes(kafka: KafkaAccess, topics: Collection[str]) -> list[str]:
    """Return the prefixes of the other pipelines whose main topics are among `topics`."""
    prefixes = {
        topic.removesuffix(CALLBACKS.name) for topic in topics if topic.endswith(CALLBACKS.name)
    }
    return sorted(filter(is_prefix, prefixes - {kafka.prefix}))


def check_others(table: AclTable, kafka: KafkaAccess, topics: Collection[str]) -> None:
    """
    Check that no name of a subscriber is one of another pipeline; `topics` are the cluster's.

    Raises:
        UnusableTable: one is.
    """
    if faults := list(_faults(table, kafka, topics)):
        raise UnusableTable(f"the file of ACLs: {'; '.join(faults)}")


def _faults(table: AclTable, kafka: KafkaAccess, topics: Collection[str]) -> Iterator[str]:
    # Names of a pipeline whose prefix begins with another one's are within that one's.
    others = [each for each in other_prefixes(kafka, topics) if not kafka.prefix.startswith(each)]
    for number, each in enumerate(table.subscribers):
        topic, groups = kafka.topic(each.dead_letters), kafka.group(each.group_prefix)
        for other in others:
            of_other = f"the topic {other}{CALLBACKS.name}; rename it"
            if topic.startswith(other):
                yield (
                    f"subscribers[{number}].dead_letters: {topic} is of the pipeline of {of_other}"
                )
            if overlap(groups, other):
                yield (
                    f"subscribers[{number}].group_prefix: {groups} also selects groups of the"
                    f" pipeline of {of_other}"
                )
