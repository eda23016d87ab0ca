"""
Keep asyncio from reporting failures of connections for which no caller waits any more.

aiokafka fails futures and tasks of its own whose callers were cancelled, by a time-out for example:
the offsets of a transaction, a batch, a waiter for an assignment. uvloop looks up a host name in a
future that goes on when the connection is given up, and that fails later if the name is unknown.
Each caller reports the outage itself. asyncio would log each such future as an error.
"""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

_AIOKAFKA = str(Path(aiokafka.__file__).parent)
# The second one is of Python 3.14 and later: a shielded future, whose caller was cancelled.
_MESSAGES = ("exception was never retrieved", "exception in shielded future")


def expect_unread_failures(loop: asyncio.AbstractEventLoop) -> None:
    """Have `loop` log such failures at DEBUG; it reports all others as before."""
    before = loop.get_exception_handler()
    if isinstance(before, _Handler):
        return
    loop.set_exception_handler(_Handler(before))


class _Handler:
    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if _is_expected(context):
            log.debug("%s: %r", context["message"], context["exception"])
        elif self._before is not None:
            self._before(loop, context)
        else:
            loop.default_exception_handler(context)


def _is_expected(context: dict[str, Any]) -> bool:
    future, error = context.get("future"), context.get("exception")
    if future is None or not str(context.get("message")).endswith(_MESSAGES):
        return False
    if isinstance(future, asyncio.Task):
        # Tasks of our own may end with KafkaError, too, and then nothing does their work.
        return isinstance(error, KafkaError) and _is_of_aiokafka(future)
    # Our own code fails no future with these. An acknowledgement is awaited, unless another record
    # of its transaction failed first.
    return isinstance(error, KafkaError | socket.gaierror)


def _is_of_aiokafka(task: "asyncio.Task[Any]") -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(_AIOKAFKA)
