"""Peers that send much after the point where the ingress has answered, on real sockets."""

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from support.builders import APP, a_body, public_port

UPLOAD = bytes(10 << 20)


def head(target: str, *headers: str) -> bytes:
    """Return the head of a request that is followed by UPLOAD."""
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: hookline", *headers, "", ""]).encode()


OURS, FOREIGN = f"/callback?SdkAppid={APP}", "/callback?SdkAppid=9"
LENGTH = f"Content-Length: {len(UPLOAD)}"
CASES = {
    b"403": head(FOREIGN, LENGTH),
    b"404": head("/elsewhere", LENGTH),
    b"405": head(OURS, LENGTH).replace(b"POST", b"PUT"),
    b"413": head(OURS, LENGTH),
    b"400": b"no HTTP\r\n\r\n",
    # The first of two requests on a connection that is closed after it.
    b"200": head(OURS, "Connection: close", f"Content-Length: {len(a_body())}") + a_body(),
}


def read_after_sending_all(address: tuple[str, int], first: bytes) -> bytes:
    """Send all before the first byte is read; return all that the server sent."""
    received = b""
    with socket.create_connection(address, timeout=180) as peer:
        peer.sendall(first)
        peer.sendall(UPLOAD)
        while piece := peer.recv(1 << 16):
            received += piece
    return received


@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_a_peer_that_sends_on_after_the_answer_still_reads_all_of_it(
    tmp_path: Path, loop: Callable[..., None], scaled: Callable[..., int]
) -> None:
    """The ingress reads and drops 10 MiB; to close at once would reset the connection."""

    async def serve() -> None:
        async with public_port(tmp_path, spool_bytes_max=64 << 20) as port:
            for status, first in CASES.items():
                for _ in range(scaled(4, at_most=200)):
                    received = await asyncio.to_thread(
                        read_after_sending_all, (port.host, port.port), first
                    )
                    answer, _, body = received.partition(b"\r\n\r\n")
                    assert answer.startswith(b"HTTP/1.1 " + status)
                    assert b"\r\nConnection: close" in answer
                    length = re.search(rb"Content-Length: (\d+)", answer)
                    assert length
                    assert int(length[1]) == len(body)
            async with asyncio.timeout(180):
                while port.server.open_connections.all:  # noqa: ASYNC110 - a set has no event
                    await asyncio.sleep(0.01)

    loop(serve())
