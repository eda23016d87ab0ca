"""An OK is sent only after its row is on disk, according to the system calls of the ingress."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.processes import syscall_trace
from support.processes.ingress import Connection, Ingress, post, until
from support.processes.senders import body

ALONE = 30
AT_ONCE = 32
ROUNDS = 10

Say = Callable[[str], None]
NewIngress = Callable[..., Ingress]
Event = dict[str, Any]


class Disk:
    """
    The rows of the spool that are on disk for sure, according to the system calls so far.

    LMDB commits in three steps: pages, then fdatasync, then the meta page that makes them count,
    through a descriptor opened with O_DSYNC. A row is kept from the end of the third on.
    """

    def __init__(self) -> None:
        self.commits = 0
        self.kept: set[str] = set()
        self._written: set[str] = set()
        self._synced: set[str] = set()
        self._begun: dict[int, set[str]] = {}

    def follow(self, event: Event) -> None:
        """Add a call on the spool's file; it covers only what was written before it began."""
        thread, result = event["thread"], event["result"]
        if "tokens" not in event:
            if result is None:
                self._begun[thread] = set(self._written)
            elif result == 0:
                self._synced |= self._begun[thread]
        elif event["synchronous"]:
            if result is None:
                self._begun[thread] = set(self._synced)
            elif result > 0:
                self.kept |= self._begun[thread]
                self.commits += 1
        elif result is not None and result > 0:
            self._written |= set(event["tokens"])


def follow(events: Iterable[Event]) -> tuple[list[str], set[str], int]:
    """Return the callbacks with an OK too early, those with an OK, and the number of commits."""
    disk = Disk()
    asked: dict[str, str] = {}
    too_early, answered = [], set()
    for event in events:
        if event["file"].endswith(syscall_trace.SPOOL):
            disk.follow(event)
        elif event["tokens"]:
            # A connection carries one request at a time.
            (asked[event["file"]],) = event["tokens"]
        elif event["file"] in asked:  # otherwise it is an answer of the admin port
            token = asked[event["file"]]
            answered.add(token)
            if token not in disk.kept:
                too_early.append(token)
    return too_early, answered, disk.commits


@pytest.mark.timeout(600)
async def test_no_ok_begins_before_its_row_is_on_disk(
    new_ingress: NewIngress, tmp_path: Path, say: Say
) -> None:
    """First one client alone, then many clients whose rows share commits."""
    trace = tmp_path / "trace"
    tracer = [sys.executable, syscall_trace.__file__, str(trace)]
    # No Kafka listens at this address, so rows stay and the trace shows only the storing.
    ingress = new_ingress(tmp_path / "spools", "127.0.0.1:1", wrap=tracer)
    await ingress.start()
    tokens = [f"trace-{number:06}" for number in range(ALONE + AT_ONCE * ROUNDS)]
    await send(ingress.port, tokens[:ALONE])
    async with asyncio.TaskGroup() as clients:
        for client in range(AT_ONCE):
            clients.create_task(send(ingress.port, tokens[ALONE + client :: AT_ONCE]))
    ingress.process.terminate()
    await until(lambda: ingress.process.poll() is not None, "the traced ingress has ended")
    assert ingress.process.returncode == 0

    events = map(json.loads, trace.read_text().splitlines())
    too_early, answered, commits = follow(events)
    say(f"{len(answered)} OK seen in {commits} commits, {len(too_early)} began before the disk")
    # A trace that has missed an answer would prove nothing.
    assert answered == set(tokens)
    assert commits < len(tokens)
    assert not too_early


async def send(port: int, tokens: list[str]) -> None:
    """Send a callback for each token, one after another on one connection, and be answered OK."""
    connection = await Connection.open(port)
    for number, token in enumerate(tokens):
        connection.send(post(body(token, number, 420)))
        assert (await connection.answer()).status == 200
    connection.close()


WRITE = {"call": "pwrite64", "thread": 2, "file": "a.lmdb", "tokens": ["t"], "synchronous": False}
SYNC = {"call": "fdatasync", "thread": 2, "file": "a.lmdb"}
META = {"call": "pwrite64", "thread": 2, "file": "a.lmdb", "tokens": [], "synchronous": True}
ASK = {"call": "read", "thread": 1, "file": "socket:[1]", "tokens": ["t"], "result": 9}
SAY = {"call": "write", "thread": 1, "file": "socket:[1]", "tokens": [], "says_ok": True}
IN_ORDER = [
    ASK,
    *({**WRITE, "result": None}, {**WRITE, "result": 4096}),
    *({**SYNC, "result": None}, {**SYNC, "result": 0}),
    *({**META, "result": None}, {**META, "result": 120}),
]


def test_an_ok_that_begins_too_early_is_noticed_at_every_step() -> None:
    """The check itself is checked: only the whole commit covers an OK."""
    assert follow([*IN_ORDER, SAY]) == ([], {"t"}, 1)
    for done in range(1, len(IN_ORDER)):
        assert follow([*IN_ORDER[:done], SAY])[0] == ["t"]


@pytest.mark.parametrize("left_out", [(1, 2), (3, 4), (5, 6)], ids=["pages", "sync", "meta page"])
def test_a_commit_without_one_of_its_steps_covers_nothing(left_out: tuple[int, int]) -> None:
    """LMDB's options that trade durability for speed leave such steps out."""
    events = [event for at, event in enumerate(IN_ORDER) if at not in left_out]
    assert follow([*events, SAY])[0] == ["t"]


def test_a_sync_that_fails_or_began_before_the_write_covers_nothing() -> None:
    """Later steps of the commit do not change that."""
    failed = [event | {"result": -5} if event.get("result") == 0 else event for event in IN_ORDER]
    assert follow([*failed, SAY])[0] == ["t"]
    early = [IN_ORDER[0], IN_ORDER[3], *IN_ORDER[1:3], *IN_ORDER[4:]]
    assert follow([*early, SAY])[0] == ["t"]
