"""Every client of Kafka gets its options from `KafkaAccess`: address, security and client id."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.parsed import of_each, parsed, product_files

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


def calls_of_clients(path: Path) -> dict[str, bool]:
    """Return the calls in a file that construct a client, and whether each has the options."""
    calls = clients_in(parsed(path, *CLIENTS))
    return {f"{call.lineno}: {ast.unparse(call)}": has_the_options(call) for call in calls}


def calls_of_started(path: Path) -> dict[str, bool]:
    """Return the calls of `started` in a file, and whether each gets the access."""
    return {
        f"{node.lineno}: {ast.unparse(node)}": ast.unparse(node.args[-1])
        in ("kafka", "self._kafka")
        for node in ast.walk(parsed(path, "started("))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "started"
    }


def test_every_client_of_the_product_has_the_options_of_the_access() -> None:
    """A client that has only an address would not reach a broker with TLS or SASL."""
    found = of_each(calls_of_clients, product_files())
    assert {path: calls for path, calls in found.items() if not all(calls.values())} == {}
    assert sum(map(len, found.values())) > 10


def test_every_client_of_the_product_follows_its_files() -> None:
    """`started` gets the access, so that a client that runs for long uses a new password."""
    found = of_each(calls_of_started, product_files())
    assert {path: calls for path, calls in found.items() if not all(calls.values())} == {}
    assert sum(map(len, found.values())) > 10


def test_a_client_with_an_address_alone_is_found() -> None:
    """Also as an attribute of a module, and beside other arguments."""
    for text, expected in (
        ("AIOKafkaProducer(bootstrap_servers=kafka)", False),
        ("aiokafka.AIOKafkaConsumer('topic', bootstrap_servers=kafka)", False),
        ("AIOKafkaConsumer('topic', **kafka.options(), group_id='x')", True),
    ):
        (call,) = clients_in(ast.parse(text))
        assert has_the_options(call) is expected, text
