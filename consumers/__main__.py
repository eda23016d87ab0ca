"""
`python -m consumers NAME` runs a member of the consumer group NAME (a webhook: webhook-TARGET).

A consumer brings every callback in Kafka into one sink, each exactly once; a webhook sends each at
least once. It may be killed at any time; records that it held are fetched again. The members of a
group share its partitions.

Consumers:
"""

import gc

if __name__ == "__main__":
    gc.disable()  # during the imports; `run_process` enables it again

import sys
from importlib import import_module
from typing import Any

from consumers.runtime.handler import Consumer
from consumers.runtime.process import main
from schemas.process import exit_with

# `consumers.NAME`, or `consumer` in that package, has the consumer as NAME in capitals. Only the
# consumer that runs is imported.
CONSUMERS = {
    "archive": "every callback as a line of a segment, in a directory or an object store",
    "sync": "every callback as a row of a PostgreSQL database",
    "counters": "counts of messages and people per app and minute, in Valkey",
    "webhook": "every callback to an HTTP target, in the order of its conversation",
}
MORE = """
`python -m consumers NAME --help` lists the settings of one. docs/configuration.md explains them,
docs/consumers.md how consumers behave and how to write one."""


def import_consumer(name: str) -> Consumer[Any]:
    """Import the consumer with this name."""
    module = import_module(f"consumers.{name}")
    if hasattr(module, "__path__"):  # a package
        module = import_module(f"consumers.{name}.consumer")
    consumer: Consumer[Any] = getattr(module, name.upper())
    return consumer


def run(arguments: list[str]) -> None:
    """Run the consumer that the first argument names."""
    match arguments:
        case ["-h" | "--help"]:
            consumer_list = "\n".join(f"  {name:10}{does}" for name, does in CONSUMERS.items())
            sys.stdout.write(f"{__doc__}\n{consumer_list}\n{MORE}\n".lstrip())
        case [name, *rest] if name in CONSUMERS:
            main(import_consumer(name), rest)
        case _:
            unknown = f"unknown consumer {arguments[0]!r}\n" if arguments else ""
            usage = f"usage: python -m consumers {'|'.join(CONSUMERS)} (see --help)"
            exit_with(f"{unknown}{usage}", 2)


if __name__ == "__main__":
    run(sys.argv[1:])
