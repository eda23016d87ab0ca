"""A public port without sockets and disk, and peers that do anything to their connections."""

import asyncio
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from support.builders import ingress_settings
from support.connections.jumping_loop import JumpingLoop
from support.connections.wire import END, Wire

from ingress.http import answers
from ingress.http.answers import DetailedAnswer
from ingress.http.connection import Connection
from ingress.http.failure_log import FailureLog
from ingress.http.receiver import Parameters, Receiver, SendAnswer
from ingress.http.server import PublicServer

BODY_BYTES_MAX = 2000
BODY_S = 0.5
KEEPALIVE_S = 2.0
COMMIT_S_MAX = 3.0


class SlowReceiver:
    """Admits all but /refused; commits each callback once, at once or some time later."""

    def __init__(self, loop: JumpingLoop, chance: random.Random) -> None:
        # Their bodies.
        self.stored: list[bytes] = []
        # The connections whose callbacks are being stored.
        self.storing: set[object] = set()
        self._loop = loop
        self._chance = chance

    def admit(self, method: str, raw_target: str) -> Parameters | DetailedAnswer:
        """Refuse by the target."""
        if method != "POST":
            return DetailedAnswer(answers.NOT_POST)
        return DetailedAnswer(answers.NOT_OURS) if raw_target.startswith("/refused") else {}

    def store(self, parameters: Parameters, body: bytes, send_answer: SendAnswer) -> None:
        """Answer a callback with its body as the reason, so a test sees which answer it got."""
        del parameters
        self.stored.append(body)
        answer = answers.UNAVAILABLE if self._chance.random() < 0.1 else answers.MALFORMED
        delay_s = self._chance.choice((0, 0, 0.001, 0.01, 0.4, COMMIT_S_MAX))
        if self._chance.random() < 0.2:
            send_answer(answer, body.decode())
            return
        # `Connection` gives its own method, so that it can be seen here.
        connection = getattr(send_answer, "__self__", None)
        self.storing.add(connection)

        def commit() -> None:
            self.storing.discard(connection)
            send_answer(answer, body.decode())

        self._loop.call_later(delay_s, commit)

    def note(self, *_: object) -> None:
        """Log no refusal."""


@dataclass(slots=True)
class Sent:
    """What a peer sends, and the answers that it is due if nobody interferes."""

    data: bytes = b""
    due: list[tuple[int, str]] = field(default_factory=list)


def some_requests(chance: random.Random) -> Sent:
    """Return one to five requests; the last may be odd, incomplete, or no HTTP."""
    sent = Sent()
    for number in range(chance.randint(1, 5)):
        name = b"%d-%d" % (number, chance.randrange(1 << 30))
        body = name + b"." * chance.choice((0, 0, 5, 300))
        kind = chance.choice(("plain",) * 6 + ("close", "chunked", "expect"))
        refused = chance.random() < 0.2
        target = b"/refused" if refused else b"/callback"
        head = b"POST " + target + b" HTTP/1.1\r\nHost: a\r\n"
        length = b"Content-Length: %d\r\n" % len(body)
        if kind == "chunked":
            sent.data += head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
            sent.data += body + b"\r\n0\r\n\r\n"
        elif kind == "expect":
            sent.data += head + length + b"Expect: 100-continue\r\n\r\n" + body
        elif kind == "close":
            sent.data += head + length + b"Connection: close\r\n\r\n" + body
        else:
            sent.data += head + length + b"\r\n" + body
        sent.due.append((403, "") if refused else (400, body.decode()))
        if kind != "plain":
            return sent
    if chance.random() < 0.1:
        sent.data += chance.choice((b"\0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        sent.due.append((405 if sent.data.endswith(b"a\r\n\r\n") else 400, ""))
    return sent


def answers_in(received: bytes) -> list[tuple[int, str]]:
    """Return status and reason of each answer, without 100 Continue; fail if one is cut off."""
    answers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status = int(head[9:12])
        length = re.search(rb"Content-Length: (\d+)", head)
        size = int(length[1]) if length else 0
        assert size <= len(rest), received
        reason = re.search(rb'"ErrorInfo":"(.*?)"', rest[:size])
        if status != 100:
            answers.append((status, reason[1].decode() if reason else ""))
        received = rest[size:]
    return answers


def last_answer_closes(received: bytes) -> bool:
    """Return whether the peer was asked to send what follows on another connection."""
    return b"\r\nConnection: close\r\n" in received[received.rfind(b"HTTP/1.1 ") :]


class World:
    """One run: a public port, its peers, and what must hold whenever nothing can happen at once."""

    def __init__(self, loop: JumpingLoop, chance: random.Random, directory: Path) -> None:
        self.chance = chance
        self.loop = loop
        self.receiver = SlowReceiver(loop, chance)
        # With few, connections are closed to make room; with many, each peer gets its answers.
        self.crowded = chance.random() < 0.3
        self.drains = chance.random() < 0.3
        settings = ingress_settings(
            directory,
            body_s=BODY_S,
            keepalive_s=KEEPALIVE_S,
            connections_max=3 if self.crowded else 100,
        )
        self.server = PublicServer(
            cast("Receiver", self.receiver),
            cast("FailureLog", self.receiver),
            settings,
            body_bytes_max=BODY_BYTES_MAX,
        )
        self.wires: list[Wire] = []
        self.answered = 0

    async def run(self) -> None:
        """Let all peers come and go, then stop; check the open connections."""
        await self.server.listen("memory", 0)
        closing_the_late = asyncio.create_task(self.server.close_late_connections())
        self.loop.on_idle = self.check
        peers = [asyncio.create_task(self._peer()) for _ in range(self.chance.randint(1, 8))]
        if self.drains:
            await asyncio.sleep(self.chance.choice((0, 0.001, 0.1, 1)))
            await self.server.drain()
            self.server.stop_listening()
            if self.chance.random() < 0.5:
                self.server.close()
        await asyncio.gather(*peers)
        # All are gone, or silent. Five requests may still be stored, one after the other.
        await asyncio.sleep(5 * COMMIT_S_MAX + 4 * KEEPALIVE_S)
        self.loop.on_idle = lambda: None
        open_connections = self.server.open_connections
        assert not open_connections.all
        assert (
            not open_connections.idle
            | open_connections.receiving_body
            | open_connections.discarding
        )
        self.server.close()
        closing_the_late.cancel()
        await asyncio.sleep(0)

    def check(self) -> None:
        """Check that each connection waits for something that has a bound."""
        open_connections, storing = self.server.open_connections, self.receiver.storing
        plain = {item for item in storing if isinstance(item, Connection)}
        lists = (
            open_connections.idle,
            open_connections.receiving_body,
            open_connections.discarding,
        )
        for waiting in lists:
            assert list(waiting.values()) == sorted(waiting.values())
            assert waiting.keys() <= open_connections.all
        in_a_list = set().union(*lists)
        assert len(in_a_list) == sum(map(len, lists))
        for wire in self.wires:
            connection = wire.protocol
            assert isinstance(connection, Connection)
            if wire.is_lost.is_set():
                assert connection not in open_connections.all
                continue
            by_aiohttp = connection._aiohttp_protocol is not None  # noqa: SLF001 - to aiohttp's own bounds
            waits = connection in plain or connection in in_a_list
            assert waits or by_aiohttp
            is_busy = connection in plain or by_aiohttp or wire.is_closing()
            assert is_busy or not (wire.is_stalled or wire.has_ended)

    async def _peer(self) -> None:
        chance = self.chance
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.3)))
        if not self.loop.accept:
            return
        wire = Wire(self.loop, self.loop.accept())
        self.wires.append(wire)
        sent = some_requests(chance)
        patient = chance.random() < 0.5
        data = sent.data if patient else sent.data[: chance.randint(0, len(sent.data))]
        cuts = sorted(chance.sample(range(len(data) + 1), min(len(data), chance.randint(0, 6))))
        half_closes = chance.random() < 0.4
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
        for piece in [*pieces, END] if half_closes else pieces:
            if piece is END:
                await asyncio.sleep(chance.choice((0, 0, 0.005)))
            wire.peer_sends(piece, at_once=chance.random() < 0.5)
            await self._something(wire, patient=patient)
        if not patient and chance.random() < 0.3:
            wire.peer_aborts()
        async with asyncio.timeout(10 * KEEPALIVE_S):
            if patient:
                await wire.is_lost.wait()
        wire.peer_reads(reads=True)
        answers = answers_in(wire.received)
        self.answered += len(answers)
        if patient:
            expected = sent.due
            if self.crowded or self.drains or last_answer_closes(wire.received):
                expected = expected[: len(answers)]
            if not (self.crowded or self.drains):
                # What was sent ahead and is not answered was not stored either: it is sent again.
                unanswered = {reason.encode() for _, reason in sent.due[len(answers) :]}
                assert unanswered.isdisjoint(self.receiver.stored)
            assert [_comparable(*answer) for answer in answers] == [
                _comparable(*answer) for answer in expected
            ]

    async def _something(self, wire: Wire, *, patient: bool) -> None:
        """Pass some time; a peer that is not patient does harm meanwhile."""
        chance = self.chance
        roll = chance.random()
        if roll < 0.6:
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
        if not patient:
            if roll > 0.97:
                wire.peer_aborts()
            elif roll > 0.9:
                wire.peer_reads(reads=False)
            elif roll > 0.8:
                await asyncio.sleep(chance.choice((BODY_S * 1.5, BODY_S * 3, KEEPALIVE_S * 2)))


def _comparable(status: int, reason: str) -> tuple[int, str]:
    """An answer without what the receiver chose by chance, or what has a fixed text."""
    if re.match(r"\d+-\d+", reason):
        return 0, reason
    return status, ""
