"""
`python supervised_stack.py DIRECTORY`: the demo's supervisor over two services that do nothing.

It is run on a small disk of its own, which a test fills.
"""

import asyncio
import sys
from pathlib import Path

from ops.demo.embedded import child
from ops.demo.supervisor import Supervisor

SERVICES = ("one", "two")


def main(directory: Path) -> None:
    """Supervise until killed."""

    def say(words: str) -> None:
        print(words, flush=True)  # noqa: T201

    supervisor = Supervisor(directory / "pids", say)
    for name in SERVICES:
        log = directory / "logs" / f"{name}.log"
        supervisor.add(name, lambda log=log: child.start(["sleep", "1000"], log=log))  # type: ignore[misc]
    asyncio.run(supervisor.watch())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
