"""A name in a call of a client of Kafka has the prefix: it comes from `KafkaAccess`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from support.parsed import of_each, parsed, product_files

from consumers.webhook.retry_topic import retry_topic
from schemas.kafka_access import KafkaAccess, kafka_access
from schemas.kafka_names import PREFIX_CHARACTERS_MAX, is_prefix
from schemas.topics import TOPICS, is_topic_name

# The argument of a call that is a name, or names; None is for each argument.
CALLS: dict[str, int | None] = {
    "TopicPartition": 0,
    "NewTopic": 0,
    "ConfigResource": 1,
    "TopicMetadata": None,
    "AIOKafkaConsumer": None,
    "partitions_for": 0,
    "partitions_for_topic": 0,
    "set_topics": 0,
    "subscribe": 0,
    "describe_topics": 0,
    "create_partitions": 0,
    "delete_topics": 0,
    "list_consumer_group_offsets": 0,
    "describe_consumer_groups": 0,
    "send_and_wait": 0,
    "send_batch": 1,
    "send_offsets_to_transaction": 1,
    "coordinator_lookup": 1,
    "LeaveGroupRequest": 0,
    "OffsetFetch": 0,
    "EndTxnRequest": 0,
}
KEYWORDS = {"group_id", "transactional_id"}
# Of the access, and of a client, which returns the names that it was given.
MAKERS = {"topic", "group", "group_of", "transactional_id", "subscription"}
ANNOTATIONS = ("KafkaName", "TopicPartition")
# A partition that no topic has, and a name that a broker has reported.
EXCEPTIONS = {"TopicPartition('-', 0)", "TopicPartition(topic['topic'], partition['partition'])"}


def names_in(call: ast.Call) -> Iterator[ast.expr]:
    """Yield the arguments of a call that are names of the cluster."""
    called = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = ast.unparse(call.func)
    if called == "send" and "producer" in owner:
        yield call.args[0]
    elif called in CALLS:
        number = CALLS[called]
        yield from call.args if number is None else call.args[number : number + 1]
    is_client = called in ("AIOKafkaConsumer", "AIOKafkaProducer")
    yield from (each.value for each in call.keywords if is_client and each.arg in KEYWORDS)


def parts(node: ast.expr) -> list[ast.expr | None] | None:
    """Return the expressions of which a collection is made, None if it is no such display."""
    match node:
        case ast.Starred(value=value):
            return [value]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return list(elements)
        case ast.ListComp(elt=element):
            return [element]
        case ast.Dict(keys=keys):
            return list(keys)
        case ast.Call(func=ast.Name(id="tuple"), args=[argument]):
            return [argument]
    return None


@dataclass(frozen=True)
class Scope:
    """Where a call is: in a function, perhaps in a class, in a module."""

    function: ast.AST
    owner: ast.AST | None
    module: ast.AST
    # The names that are being looked up.
    looked_up: frozenset[str] = frozenset()

    def is_of_the_cluster(self, node: ast.expr | None) -> bool:
        """Return whether an expression is a name, or names, that `KafkaAccess` has made."""
        if node is not None and (elements := parts(node)) is not None:
            return all(map(self.is_of_the_cluster, elements))
        found = False
        match node:
            case ast.Call(func=ast.Name(id="map"), args=[ast.Attribute(attr=attr), *_]):
                found = attr in MAKERS
            case ast.Call():
                found = is_made(node)
            # Everywhere, `tp` is a TopicPartition, and each of these is checked.
            case ast.Attribute(value=ast.Name(id="tp"), attr="topic"):
                found = True
            case ast.Attribute(value=ast.Name(id="self")) if self.owner:
                found = self._is_bound_to_one(self.owner, ast.unparse(node))
            case ast.Attribute(value=value, attr="topic" | "name"):
                found = self.is_of_the_cluster(value)
            case ast.Name(id=name):
                found = self._is_bound_to_one(self.function, name)
        return found

    def _is_bound_to_one(self, where: ast.AST, text: str) -> bool:
        """Return whether `text` is annotated as a name, or is bound to one wherever it is bound."""
        if text in self.looked_up:
            return False
        inner = Scope(where, self.owner, self.module, self.looked_up | {text})
        found = list(inner.bindings(where, text)) or list(inner.bindings(self.module, text))
        return bool(found) and all(found)

    def bindings(self, where: ast.AST, text: str) -> Iterator[bool]:
        """Yield, for each binding of `text`, whether a name of the cluster is bound."""
        for node in ast.walk(where):
            match node:
                case ast.arg(arg=arg, annotation=annotation) if arg == text:
                    yield annotation is not None and of_the_cluster(annotation)
                case ast.Assign(targets=[target], value=value):
                    yield from self._assigned(target, value, text)
                case (
                    ast.For(target=target, iter=value)
                    | ast.comprehension(target=target, iter=value)
                ):
                    yield from self._assigned(target, value, text)

    def _assigned(self, target: ast.expr, value: ast.expr, text: str) -> Iterator[bool]:
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values):
                for one, its_value in zip(targets, values, strict=True):
                    yield from self._assigned(one, its_value, text)
            case _ if ast.unparse(target) == text:
                if "TopicPartition" not in ast.unparse(value):
                    yield self.is_of_the_cluster(value)


def is_made(call: ast.Call) -> bool:
    """Return whether a call makes a name: by the access, or of a topic of Kafka itself."""
    if ast.unparse(call.func) == "KafkaName":
        return isinstance(call.args[0], ast.Constant | ast.Attribute)
    return isinstance(call.func, ast.Attribute) and call.func.attr in MAKERS


def of_the_cluster(annotation: ast.expr) -> bool:
    """Return whether a type has names of the cluster, or is an object that has only such ones."""
    text = ast.unparse(annotation)
    return any(each in text for each in (*ANNOTATIONS, "ExistingTopic"))


def bare_names(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the names in calls of clients that do not come from `KafkaAccess`."""
    yield from _bare_names(tree, tree, None, tree)


def _bare_names(
    node: ast.AST, function: ast.AST, owner: ast.AST | None, module: ast.AST
) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        inner = child if is_function else function
        its_class = child if isinstance(child, ast.ClassDef) else owner
        if isinstance(child, ast.Call) and ast.unparse(child) not in EXCEPTIONS:
            scope = Scope(inner, its_class, module)
            yield from (each for each in names_in(child) if not scope.is_of_the_cluster(each))
        yield from _bare_names(child, inner, its_class, module)


class Names(NamedTuple):
    """How many names are in the calls of a file, and those that are bare, with their lines."""

    number: int
    bare: list[str]


def names_of(path: Path) -> Names:
    """Return the names of a file."""
    tree = parsed(path, "aiokafka", *CALLS)
    number = sum(len(list(names_in(n))) for n in ast.walk(tree) if isinstance(n, ast.Call))
    return Names(number, [f"{each.lineno}: {ast.unparse(each)}" for each in bare_names(tree)])


def test_each_name_in_a_call_of_a_client_comes_from_the_access() -> None:
    """A bare name would be that of another pipeline, whose records would be read or mixed."""
    found = of_each(names_of, product_files())
    assert {path: names.bare for path, names in found.items() if names.bare} == {}
    assert sum(names.number for names in found.values()) > 40


@pytest.mark.parametrize(
    ("call", "is_bare"),
    [
        ("AIOKafkaConsumer(CALLBACKS.name, **kafka.options())", True),
        ("AIOKafkaConsumer(**kafka.options(), group_id=group)", True),
        ("AIOKafkaConsumer(**kafka.options(), group_id=kafka.group(group))", False),
        ("producer.send('tim.callbacks.v1', b'')", True),
        ("producer.send_batch(batch, self._topic)", True),
        ("[TopicPartition(topic, n) for topic in topics]", True),
        ("[TopicPartition(topic, n) for topic in map(kafka.topic, topics)]", False),
        ("TopicPartition(*partition)", True),
        ("admin.create_partitions({name: 3})", True),
        ("admin.create_partitions({kafka.topic(name): 3})", False),
        ("client.coordinator_lookup(0, in_kafka)", True),
    ],
)
def test_a_bare_name_is_found(call: str, *, is_bare: bool) -> None:
    """Also as a keyword, in a loop, and as the key of a mapping."""
    tree = ast.parse(f"def function(self, kafka: KafkaAccess, name: str, group: str): {call}")
    assert bool(list(bare_names(tree))) is is_bare


def test_the_prefix_is_put_before_each_name_and_removed_again() -> None:
    """The longest name of a topic fits into Kafka's limit."""
    prefix = "p" * (PREFIX_CHARACTERS_MAX - 1) + "."
    kafka = access(prefix)
    for name in (*(topic.name for topic in TOPICS), retry_topic("n" * 40)):
        assert is_topic_name(kafka.topic(name))
        assert kafka.bare(kafka.topic(name)) == name
    assert kafka.group("archive") == kafka.transactional_id("archive") == f"{prefix}archive"
    with pytest.raises(ValueError, match="not a name of the pipeline"):
        kafka.bare("tim.callbacks.v1")


@pytest.mark.parametrize("text", ["", "prod.", "hookline-test_", "a-", "P" * 99 + "."])
def test_a_prefix_is_accepted(text: str) -> None:
    """It ends with a separator, so that no prefix and name read as another name."""
    assert is_prefix(text)


@pytest.mark.parametrize(
    "text",
    ["prod", "a b.", "é.", "p" * 100 + ".", "webhook-", "x.hookline-spool-", "tim.callbacks.x."],
)
def test_a_prefix_is_refused(text: str) -> None:
    """Also one with which ACLs of a pipeline without a prefix select the names of this one."""
    assert not is_prefix(text)


def access(prefix: str) -> KafkaAccess:
    """Return the access of a pipeline with this prefix."""
    return kafka_access("kafka:1", {"HOOKLINE_KAFKA_PREFIX": prefix})
