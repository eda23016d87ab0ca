"""A sender of a webhook, servers that answer it with any bytes, and one to which connects hang."""

import asyncio
import contextlib
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from support.webhook.receiver import SECRET

from consumers.webhook.sender import Sender, open_sender
from consumers.webhook.settings import WebhookSettings

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def sender_to(url: str, directory: Path, timeout_s: float = 5) -> AsyncIterator[Sender]:
    """Yield a sender to a URL on the loopback interface."""
    file = directory / "secrets"
    if not file.exists():
        file.write_text(SECRET)
    settings = WebhookSettings(
        name="crm",
        url=url,
        secrets_file=file,
        allow_cidrs=("127.0.0.0/8",),
        timeout_s=timeout_s,
    )
    async with open_sender(settings) as sender:
        yield sender


@asynccontextmanager
async def raw_server(serve: Serve, until: bytes = b"\r\n\r\n") -> AsyncIterator[str]:
    """Yield the URL of a server that reads up to `until`, then answers what `serve` writes."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(until)
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@contextmanager
def full_backlog(port: int = 0) -> Iterator[str]:
    """Yield the URL of a listener that is there, but to which every connect hangs."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
        address = listener.getsockname()
        while True:
            client = opened.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(address)
            if not select.select([], [client], [], 0.1)[1]:
                break
        yield f"http://127.0.0.1:{address[1]}/"
