"""The public port as bytes on a connection: pieces, pipelines, HTTP's corners, bounds."""

import asyncio
import json
import random
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import uvloop
from support.builders import APP, PublicPort, a_body, public_port


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[PublicPort]:
    """A public port with low bounds, but not of time, so that a busy machine changes nothing."""
    async with public_port(
        tmp_path, body_bytes_max=4096, body_s=600, keepalive_s=600, connections_max=10
    ) as opened:
        yield opened


@pytest.fixture
async def hasty_port(tmp_path: Path) -> AsyncIterator[PublicPort]:
    """A public port that waits only briefly."""
    async with public_port(tmp_path, body_s=0.3, keepalive_s=0.5) as opened:
        yield opened


def a_request(body: bytes, *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    """Return a request as bytes."""
    lines = [
        f"{method} /callback?SdkAppid={APP} HTTP/{version}",
        "Host: hookline",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def answers(
    port: PublicPort, pieces: list[bytes], count: int, *, pause: bool = False
) -> list[tuple[int, str]]:
    """Send `pieces`; return status and ActionStatus of each answer."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if pause:
            await asyncio.sleep(0.002)
    received = [await one_answer(reader) for _ in range(count)]
    writer.close()
    return received


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Read one answer."""
    async with asyncio.timeout(180):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = json.loads(await reader.readexactly(length))
    return int(head.split()[1]), body["ActionStatus"]


OK, FAIL = (200, "OK"), (400, "FAIL")


@pytest.mark.parametrize("seed", range(12))
async def test_requests_cut_anywhere_are_answered_each_in_order(
    port: PublicPort, seed: int
) -> None:
    """Also pipelined, with malformed ones among them: each gets its own answer."""
    chance = random.Random(seed)  # noqa: S311 - where to cut
    good = [chance.random() < 0.6 for _ in range(8)]
    stream = b"".join(
        a_request(a_body(MsgKey=f"k{n}") if fine else b"{") for n, fine in enumerate(good)
    )
    cuts = sorted(chance.sample(range(1, len(stream)), chance.randint(0, 12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    received = await answers(port, pieces, len(good), pause=seed % 2 == 0)
    assert received == [OK if fine else FAIL for fine in good]
    assert len(port.stored()) == len(good)


async def test_bytes_after_a_request_under_way_are_answered_after_it(
    port: PublicPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage after a good request does not replace its answer; then the connection is closed."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(a_request(a_body(MsgKey="first")))
    assert await one_answer(reader) == OK
    commit, go_on = port.spool.writer.commit, threading.Event()

    def waits(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool) -> None:
        go_on.wait(180)
        commit(contents, forwarded_sequence, probe=probe)

    monkeypatch.setattr(port.spool.writer, "commit", waits)
    writer.write(a_request(a_body(MsgKey="second")))
    async with asyncio.timeout(180):
        while port.server.open_connections.is_quiet:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    writer.write(b"no HTTP\r\n\r\n")
    await asyncio.sleep(0.05)
    go_on.set()
    assert await one_answer(reader) == OK
    assert await one_answer(reader) == FAIL
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        a_request(a_body(), "Connection: close"),
        a_request(a_body(), version="1.0"),
        a_request(a_body(), "Upgrade: h2c", "Connection: Upgrade"),
        a_request(a_body(), "Expect: 200-maybe"),
        a_request(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
        + b"%x\r\n" % len(a_body())
        + a_body()
        + b"\r\n0\r\n\r\n",
    ],
)
async def test_rare_forms_of_http_are_accepted(port: PublicPort, request_bytes: bytes) -> None:
    """Each is stored and answered OK."""
    assert await answers(port, [request_bytes], 1) == [OK]
    assert len(port.stored()) == 1


async def test_a_request_with_expect_gets_100_continue(port: PublicPort) -> None:
    """As curl does before a large body."""
    request = a_request(a_body(), "Expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(head + b"\r\n\r\n")
    async with asyncio.timeout(180):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(body)
    assert await one_answer(reader) == OK
    writer.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        a_request(b"").replace(b"Content-Length: 0", b"Content-Length: x"),
        a_request(b"").replace(b"Host: hookline\r\n", b"X: %s\r\n" % (b"x" * 9000)),
    ],
)
async def test_bytes_that_are_not_http_are_answered_400_in_json(
    port: PublicPort, garbage: bytes
) -> None:
    """Then the connection is closed."""
    assert await answers(port, [garbage], 1) == [FAIL]
    assert port.stored() == []


async def test_an_incomplete_body_is_answered_408(hasty_port: PublicPort) -> None:
    """This happens INGRESS_BODY_S after its headers."""
    piece = a_request(a_body())[:-1]
    assert await answers(hasty_port, [piece], 1) == [(408, "FAIL")]
    assert hasty_port.stored() == []


async def test_a_connection_that_sends_nothing_is_closed(hasty_port: PublicPort) -> None:
    """This happens INGRESS_KEEPALIVE_S after it was opened, also if half of the headers came."""

    async def closed(piece: bytes) -> None:
        reader, writer = await asyncio.open_connection(hasty_port.host, hasty_port.port)
        writer.write(piece)
        async with asyncio.timeout(180):
            assert await reader.read() == b""
        writer.close()

    await asyncio.gather(closed(b""), closed(b"POST /callback HTTP/1.1\r\nHo"))


async def test_at_the_bound_the_connection_that_was_idle_longest_is_closed(
    port: PublicPort,
) -> None:
    """So idle connections do not keep new ones out."""
    idle = [await asyncio.open_connection(port.host, port.port) for _ in range(10)]
    assert len(port.server.open_connections.all) == 10
    assert await answers(port, [a_request(a_body())], 1) == [OK]
    assert len(port.server.open_connections.all) <= 10
    async with asyncio.timeout(180):
        assert await idle[0][0].read() == b""
    for _, writer in idle:
        writer.close()


async def test_refused_requests_without_their_bodies_do_not_keep_others_out(
    port: PublicPort,
) -> None:
    """At the bound they are closed before an idle connection, the one that waits longest first."""
    idle_reader, idle_writer = await asyncio.open_connection(port.host, port.port)
    refused = a_request(a_body()).replace(APP.encode(), b"999")[:-5]
    refused_ones = []
    for _ in range(9):
        reader, writer = await asyncio.open_connection(port.host, port.port)
        writer.write(refused)
        refused_ones.append((reader, writer))
    async with asyncio.timeout(180):
        while len(port.server.open_connections.discarding) < 9:  # noqa: ASYNC110 - a dict has no event
            await asyncio.sleep(0)
    assert await answers(port, [a_request(a_body(MsgKey="new"))], 1) == [OK]
    idle_writer.write(a_request(a_body(MsgKey="idle")))
    assert await one_answer(idle_reader) == OK
    assert await refused_ones[0][0].read() == b""
    for _, writer in [*refused_ones, (None, idle_writer)]:
        writer.close()


async def test_a_peer_that_sends_too_much_ahead_is_asked_for_a_new_connection(
    port: PublicPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has sent ahead is neither kept nor stored."""
    monkeypatch.setattr("ingress.http.connection.PIPELINED_BYTES_MAX", 600)
    requests = [a_request(a_body(MsgKey=f"k{number}")) for number in range(8)]
    assert len(requests[0]) * 7 > 600
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(b"".join(requests))
    async with asyncio.timeout(180):
        received = await reader.read()
    assert received.count(b"HTTP/1.1 200 OK") == received.count(b"\r\nConnection: close\r\n") == 1
    assert len(port.stored()) == 1
    writer.close()


async def test_nothing_after_an_odd_request_is_stored(port: PublicPort) -> None:
    """Its answer closes the connection, so a sender sends what follows again on another one."""
    odd = a_request(a_body(MsgKey="odd"), "TE: trailers")
    before = [a_request(a_body(MsgKey=f"before{number}")) for number in range(3)]
    after = [a_request(a_body(MsgKey=f"after{number}")) for number in range(5)]
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(b"".join([*before, odd, *after, odd]))
    async with asyncio.timeout(180):
        received = await reader.read()
    assert received.count(b"HTTP/1.1 200 OK") == len(port.stored()) == 4
    assert b"Connection: close" in received[received.rfind(b"HTTP/1.1") :]
    assert received.count(b"Connection: close") == 1
    writer.close()


def sends_and_never_reads(address: tuple[str, int], request: bytes, count: int) -> bool:
    """Send `count` requests without reading an answer; return whether the peer disconnects."""
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.settimeout(180)
        silent.connect(address)
        try:
            for _ in range(count // 100):
                silent.sendall(request * 100)
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_a_peer_that_never_reads_its_answers_is_cut_off(
    tmp_path: Path, loop: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unread bytes of a peer are bounded, beyond what the kernel holds."""
    # Else its connection would be closed for sending so much without waiting for answers.
    monkeypatch.setattr("ingress.http.connection.PIPELINED_BYTES_MAX", 1 << 30)
    refused = a_request(b"").replace(APP.encode(), b"9")

    async def serve() -> None:
        async with public_port(tmp_path) as port:
            address = (port.host, port.port)
            assert await asyncio.to_thread(sends_and_never_reads, address, refused, 200_000)
            assert await answers(port, [a_request(a_body())], 1) == [OK]
            assert len(port.server.open_connections.all) <= 1

    loop(serve())


async def test_a_peer_that_is_gone_before_its_answer_does_no_harm(port: PublicPort) -> None:
    """Its callback is stored, and other peers are answered."""
    _, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(a_request(a_body(MsgKey="gone")))
    writer.transport.abort()
    assert await answers(port, [a_request(a_body(MsgKey="there"))], 1) == [OK]
    assert port.server.open_connections.is_quiet


async def test_a_lost_connection_is_forgotten(hasty_port: PublicPort) -> None:
    """Also if it was lost before its body was complete."""
    port = hasty_port
    for piece in (b"", a_request(a_body())[:-1], a_request(a_body())):
        _, writer = await asyncio.open_connection(port.host, port.port)
        writer.write(piece)
        await asyncio.sleep(0.05)
        writer.transport.abort()
    async with asyncio.timeout(180):
        while port.server.open_connections.all:  # noqa: ASYNC110 - a set has no event
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # INGRESS_BODY_S is over, too
    assert port.server.open_connections.idle == {}


async def test_a_connection_in_use_outlives_the_bound_of_idle_ones(port: PublicPort) -> None:
    """INGRESS_KEEPALIVE_S is counted from the last answer."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    before_s = asyncio.get_running_loop().time()
    for number in range(4):
        writer.write(a_request(a_body(MsgKey=f"k{number}")))
        assert await one_answer(reader) == OK
        (idle_since_s,) = port.server.open_connections.idle.values()
        assert idle_since_s > before_s
        before_s = asyncio.get_running_loop().time()
    writer.close()


async def test_answers_of_a_stopping_process_close_the_connection(port: PublicPort) -> None:
    """So a balancer sends the next request to another process."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(a_request(a_body(MsgKey="before")))
    assert await one_answer(reader) == OK
    port.server.open_connections.is_draining = True
    writer.write(a_request(a_body(MsgKey="after")))
    async with asyncio.timeout(180):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200 ")
    assert "connection: close" in head
    writer.close()


@pytest.mark.parametrize("drain_timeout_s", [5.0, 0.5])
def test_a_request_that_comes_while_the_draining_process_stands_still_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drain_timeout_s: float
) -> None:
    """Unlike asyncio's own loop, uvloop runs timers that are due before it reads."""
    monkeypatch.setattr("ingress.http.server.DRAIN_TIMEOUT_S", drain_timeout_s)

    async def drain_and_stand_still() -> None:
        async with public_port(tmp_path) as port:
            reader, writer = await asyncio.open_connection(port.host, port.port)
            writer.write(a_request(a_body(MsgKey="before")))
            assert await one_answer(reader) == OK
            ending = asyncio.create_task(drain_and_close(port))
            await asyncio.sleep(0.02)
            writer.write(a_request(a_body(MsgKey="after")))
            time.sleep(1)  # noqa: ASYNC251 - the process stands still
            assert await one_answer(reader) == OK
            writer.close()
            await ending

    async def drain_and_close(port: PublicPort) -> None:
        await port.server.drain()
        port.server.close()

    uvloop.run(drain_and_stand_still())


def sent(address: tuple[str, int], pieces: list[bytes], count: int, pauses_s: list[float]) -> bytes:
    """Send the pieces as another process would, and return `count` answers."""
    received = b""
    with socket.create_connection(address, timeout=180) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece, pause_s in zip(pieces, pauses_s, strict=True):
            connection.sendall(piece)
            time.sleep(pause_s)
        while received.count(b'"ErrorCode"') < count and (more := connection.recv(1 << 16)):
            received += more
    return received


def test_pipelined_pieces_keep_their_order_on_the_loop_of_production(
    tmp_path: Path, scaled: Callable[..., int]
) -> None:
    """Unlike asyncio's own loop, uvloop reads a socket before it runs callbacks that are due."""
    seeds = scaled(12)

    async def streams() -> None:
        bounds = {"body_bytes_max": 4096, "spool_bytes_max": 64 << 20}
        async with public_port(tmp_path, **bounds, keepalive_s=60, body_s=5) as port:
            for seed in range(seeds):
                chance = random.Random(seed)  # noqa: S311 - where to cut
                good = [chance.random() < 0.7 for _ in range(30)]
                stream = b"".join(
                    a_request(a_body(MsgKey=f"{seed}-{n}") if fine else b"{")
                    for n, fine in enumerate(good)
                )
                cuts = list(range(0, len(stream), chance.randint(40, 200)))
                pieces = [stream[a:b] for a, b in zip(cuts, [*cuts[1:], None], strict=True)]
                pauses_s = [chance.choice([0, 0, 0.0003, 0.001]) for _ in pieces]
                received = await asyncio.to_thread(
                    sent, (port.host, port.port), pieces, len(good), pauses_s
                )
                codes = re.findall(rb"HTTP/1\.1 (\d+)", received)
                assert codes == [b"200" if fine else b"400" for fine in good], seed
            assert len(port.stored()) == seeds * 30

    uvloop.run(streams())


@pytest.mark.parametrize("cut", [1, 20, 60, 150])
async def test_a_half_closed_connection_gets_its_answers(port: PublicPort, cut: int) -> None:
    """Also two requests in pieces, and one that is not plain."""
    for last in (a_request(a_body(MsgKey="b")), a_request(a_body(MsgKey="b"), "TE: trailers")):
        reader, writer = await asyncio.open_connection(port.host, port.port)
        stream = a_request(a_body(MsgKey="a")) + last
        for piece in (stream[:cut], stream[cut:]):
            writer.write(piece)
            await asyncio.sleep(0.01)
        writer.write_eof()
        assert [await one_answer(reader), await one_answer(reader)] == [OK, OK]
        assert await reader.read() == b""
        writer.close()


async def test_a_refused_body_is_not_kept_and_its_connection_stays(port: PublicPort) -> None:
    """A peer that is not authentic fills no memory; a shared connection goes on after it."""
    refused = a_request(a_body()).replace(APP.encode(), b"999")
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(refused[:-5])
    async with asyncio.timeout(180):
        while not port.server.open_connections.discarding:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    (open_connection,) = port.server.open_connections.all
    body = open_connection._partial_request  # noqa: SLF001 - what it keeps is not visible otherwise
    assert body
    assert body.received == b""
    writer.write(refused[-5:])
    assert await one_answer(reader) == (403, "FAIL")
    writer.write(a_request(a_body()))
    assert await one_answer(reader) == OK
    writer.close()


async def test_a_refused_body_that_does_not_come_is_answered_with_the_refusal(
    hasty_port: PublicPort,
) -> None:
    """The reason that helps the sender is that it is not authentic."""
    refused = a_request(a_body()).replace(APP.encode(), b"999")
    assert await answers(hasty_port, [refused[:-5]], 1) == [(403, "FAIL")]


async def test_an_odd_request_is_the_last_of_its_connection(port: PublicPort) -> None:
    """So a shared connection is never left on the slower way."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(a_request(a_body(), "TE: trailers"))
    async with asyncio.timeout(180):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    writer.close()


async def test_a_body_that_ends_early_is_answered_at_once(port: PublicPort) -> None:
    """With the refusal of its request if there is one: that helps the sender more."""
    incomplete = a_request(a_body())[:-5]
    for piece, status in ((incomplete, 400), (incomplete.replace(APP.encode(), b"999"), 403)):
        reader, writer = await asyncio.open_connection(port.host, port.port)
        writer.write(piece)
        writer.write_eof()
        assert await one_answer(reader) == (status, "FAIL")
        assert await reader.read() == b""
        writer.close()
    assert port.stored() == []


async def test_the_answer_to_head_has_no_body(port: PublicPort) -> None:
    """Its Content-Length is that of the answer to another method."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    writer.write(a_request(b"", method="HEAD"))
    async with asyncio.timeout(180):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")
    writer.close()
