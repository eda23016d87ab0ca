"""Every client of Kafka gets its options from `KafkaAccess`: address, security and client id."""

import ast
from collections.abc import Iterator

from support.parsed import parsed, product_files

CLIENTS = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaClient"}


def clients_in(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that construct a client of aiokafka."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in CLIENTS:
                yield node


def has_the_options(call: ast.Call) -> bool:
    """Return whether a call is `Client(…, **access.options(), …)` without an address of its own."""
    options = any(
        keyword.arg is None
        and isinstance(keyword.value, ast.Call)
        and isinstance(keyword.value.func, ast.Attribute)
        and keyword.value.func.attr == "options"
        for keyword in call.keywords
    )
    return options and not any(keyword.arg == "bootstrap_servers" for keyword in call.keywords)


def test_every_client_of_the_product_has_the_options_of_the_access() -> None:
    """A client that has only an address would not reach a broker with TLS or SASL."""
    found = 0
    for path in product_files(*CLIENTS):
        for call in clients_in(parsed(path)):
            found += 1
            assert has_the_options(call), f"{path}:{call.lineno}: {ast.unparse(call)}"
    assert found > 10


def test_every_client_of_the_product_follows_its_files() -> None:
    """`started` gets the access, so that a client that runs for long uses a new password."""
    found = 0
    for path in product_files("started("):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "started":
                found += 1
                assert ast.unparse(node.args[-1]) in ("kafka", "self._kafka"), (
                    f"{path}:{node.lineno}: {ast.unparse(node)}"
                )
    assert found > 10


def test_a_client_with_an_address_alone_is_found() -> None:
    """Also as an attribute of a module, and beside other arguments."""
    for text, expected in (
        ("AIOKafkaProducer(bootstrap_servers=kafka)", False),
        ("aiokafka.AIOKafkaConsumer('topic', bootstrap_servers=kafka)", False),
        ("AIOKafkaConsumer('topic', **kafka.options(), group_id='x')", True),
    ):
        (call,) = clients_in(ast.parse(text))
        assert has_the_options(call) is expected, text
