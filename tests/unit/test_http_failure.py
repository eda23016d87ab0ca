"""A server that gives no answer is described in words, without parts of errors of aiohttp."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from consumers.webhook.guard import AddressGuard
from ops.audit.http_json import NoJsonAnswer, get_json
from ops.simulate.callbacks import requests
from ops.simulate.delivery import UrlRotation, deliver
from schemas.http_failure import http_failure

CLOSES = "closes"
ADDRESSES = [
    ("http://127.0.0.1:1/", "connection refused"),
    ("http://localhost:1/", "connection refused"),
    ("http://name.invalid/", "its name cannot be resolved: "),
    (f"http://{CLOSES}/", "the connection was closed before an answer"),
    (f"https://{CLOSES}/", "TLS fails: "),
    ("http://127.0.0.1:port/", "its address is not a URL of HTTP"),
]


@asynccontextmanager
async def a_closing_server() -> AsyncIterator[str]:
    """Yield the address of a server that answers something that is not TLS, then closes."""

    async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1)) != b"G":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(closed, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("url", "words"), ADDRESSES)
async def test_each_failure_of_a_connection_is_in_words(url: str, words: str) -> None:
    """Neither a representation of Python's, nor an address that the caller names already."""
    async with a_closing_server() as address, aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientError, OSError, ValueError)) as failed:
            await session.get(url.replace(CLOSES, address))
        text = http_failure(failed.value)
        with pytest.raises(NoJsonAnswer) as unanswered:
            await get_json(url.replace(CLOSES, address), timeout_s=180)
    assert text.startswith(words)
    assert f"it does not answer ({text})" in str(unanswered.value)
    for part in ("ssl:", "Connect call", "ConnectionKey", "Errno", "Error("):
        assert part not in text


async def test_an_address_that_is_refused_is_said_with_what_to_set() -> None:
    """With the option of the command that tries a target, too."""
    connector = aiohttp.TCPConnector(socket_factory=AddressGuard(()).create_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as failed:
            await session.get("http://127.0.0.1:1/")
    text = http_failure(failed.value)
    assert text.startswith("the target's address 127.0.0.1 is not public")
    assert text.endswith("WEBHOOK_ALLOW_CIDRS (of hookline webhook test: --allow)")


async def test_a_server_without_tls_is_not_an_operation_that_is_not_permitted() -> None:
    """The number of an error of OpenSSL is not one of the operating system's."""
    request = next(requests(("1400000001",), users=2, seed=1))
    async with a_closing_server() as address, aiohttp.ClientSession() as session:
        rotation = UrlRotation([f"https://{address}/"])
        result = await deliver(session, request, rotation, answer_timeout_s=180)
    (reason,) = result.failed_tries
    assert reason.startswith("TLS fails: ")
