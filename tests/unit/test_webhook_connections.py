"""Whether an attempt to deliver a callback had a connection, however it failed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from support.builders import a_record, a_stored_record
from support.fakes import ManualClock
from support.webhook.receiver import Arrival, receiving
from support.webhook.sending import full_backlog, raw_server, sender_to

from consumers.webhook import sender
from consumers.webhook.circuit import CONNECTED_S, Circuit
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind

# Shorter than the time that one try to connect may take, which is allowed.
TIMEOUT_S = 0.3
# A resolver may need so long to answer that there is no such name.
LOOK_UP_S = 5.0
NO_CONNECTION = "the target cannot be reached: no connection was made within WEBHOOK_TIMEOUT_S"


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Yield the port of a server that accepts connections, reads, and never answers."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def outcome_at(url: str, directory: Path, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Return the outcome of one attempt, which takes no longer than it may."""
    async with sender_to(url, directory, timeout_s) as sender:
        began_at = time.monotonic()
        outcome = await sender.send(a_stored_record(3))
    assert outcome.kind is OutcomeKind.FAILED
    assert time.monotonic() - began_at < timeout_s + 2
    return outcome


async def test_a_connect_that_hangs_is_not_a_connection(tmp_path: Path) -> None:
    """Also if the time of the whole request is over before that of the connect."""
    with full_backlog() as url:
        outcome = await outcome_at(url, tmp_path)
    assert (outcome.connection, outcome.reason) == (Connection.NOT_MADE, NO_CONNECTION)


async def test_a_connect_that_exceeds_its_own_limit_has_that_limit_in_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A longer WEBHOOK_TIMEOUT_S would not help."""
    monkeypatch.setattr(sender, "CONNECT_S_MAX", 0.2)
    with full_backlog() as url:
        outcome = await outcome_at(url, tmp_path, LOOK_UP_S)
    assert outcome.connection is Connection.NOT_MADE
    assert outcome.reason == "the target cannot be reached: no connection was made within 0.2 s"


async def test_a_look_up_of_the_name_that_hangs_is_not_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a connect does not bound it, so only that of the whole request ends it."""

    async def hang(*_: object, **_options: object) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
    outcome = await outcome_at("http://crm.example.com/", tmp_path)
    assert (outcome.connection, outcome.reason) == (Connection.NOT_MADE, NO_CONNECTION)


async def test_a_tls_handshake_that_hangs_or_fails_is_not_a_connection(tmp_path: Path) -> None:
    """Nothing of the callback was sent."""
    async with silent_server() as port:
        hanging = await outcome_at(f"https://127.0.0.1:{port}/", tmp_path)
    assert (hanging.connection, hanging.reason) == (Connection.NOT_MADE, NO_CONNECTION)

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(plain, until=b"\x16\x03") as url:
        failed = await outcome_at(url.replace("http:", "https:"), tmp_path)
    assert failed.connection is Connection.NOT_MADE
    assert failed.reason.startswith("the target cannot be reached: TLS fails: ")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://10.255.255.1/", "http://name.invalid/", "http://127.1/"],
)
async def test_an_address_that_is_refused_or_unknown_is_not_a_connection(
    url: str, tmp_path: Path
) -> None:
    """The target's host, the guard, the resolver or aiohttp refuses it."""
    outcome = await outcome_at(url, tmp_path, LOOK_UP_S)
    assert outcome.connection is Connection.NOT_MADE
    assert outcome.reason.startswith("the target cannot be reached: ")


async def test_an_attempt_that_fails_after_the_connection_had_one(tmp_path: Path) -> None:
    """The target does not answer within the limit, or closes the connection."""
    async with silent_server() as port:
        late = await outcome_at(f"http://127.0.0.1:{port}/", tmp_path)
    reason = "the target did not answer within WEBHOOK_TIMEOUT_S"
    assert (late.connection, late.reason) == (Connection.MADE, reason)

    async def closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with raw_server(closed) as url:
        assert (await outcome_at(url, tmp_path)).connection is Connection.MADE


async def test_an_attempt_over_an_earlier_connection_had_one(tmp_path: Path) -> None:
    """The request may have arrived."""
    is_answering = True

    async def answer(_: Arrival) -> int:
        if not is_answering:
            await asyncio.sleep(60)
        return 200

    async with receiving() as receiver, sender_to(receiver.url, tmp_path, TIMEOUT_S) as sender:
        receiver.answer = answer
        assert await sender.send(a_stored_record(3)) == Outcome(OutcomeKind.DELIVERED)
        is_answering = False
        late = await sender.send(a_stored_record(4))
    assert (late.kind, late.connection) == (OutcomeKind.FAILED, Connection.MADE)


async def test_a_record_that_is_no_callback_needs_no_connection(tmp_path: Path) -> None:
    """So its outcome says nothing about the target."""
    async with sender_to("http://127.0.0.1:1/", tmp_path) as sender:
        outcome = await sender.send(a_record(3))
    assert (outcome.kind, outcome.connection) == (OutcomeKind.REFUSED, Connection.NOT_TRIED)


async def test_connects_that_hang_open_the_circuit_and_do_not_close_it(tmp_path: Path) -> None:
    """So no callback of a target that cannot be reached goes to the retry topic."""
    circuit = Circuit("crm", time.monotonic)
    with full_backlog() as url:
        for _ in range(2):
            circuit.note_connection(await outcome_at(url, tmp_path, CONNECTED_S), circuit.now())
            assert (circuit.is_unreachable, circuit.reason) == (True, NO_CONNECTION)
    async with silent_server() as port:
        circuit.note_connection(
            await outcome_at(f"http://127.0.0.1:{port}/", tmp_path), circuit.now()
        )
    assert not circuit.is_open


def test_an_attempt_that_tried_no_connection_neither_opens_nor_closes_the_circuit() -> None:
    """All connections that are allowed were in use, or the record was not a callback."""
    circuit = Circuit("crm", ManualClock())
    not_tried = Outcome(OutcomeKind.FAILED, "none was free", connection=Connection.NOT_TRIED)
    circuit.note_connection(not_tried, circuit.now())
    assert not circuit.is_open
    circuit.note_connection(
        Outcome(OutcomeKind.FAILED, "no", connection=Connection.NOT_MADE), circuit.now()
    )
    circuit.note_connection(not_tried, circuit.now())
    assert circuit.is_unreachable
