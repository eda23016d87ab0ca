"""aiohttp's server without an application: it reads the body, stores nothing and answers OK."""

import asyncio
import os

import uvloop
from aiohttp import web

from bench.ingress.peers.serving import OK


async def receive(request: web.BaseRequest) -> web.Response:
    """Answer OK."""
    await request.read()
    return web.Response(body=OK, content_type="application/json")


async def serve() -> None:
    """Serve at PORT until the process is stopped."""
    server = web.Server(receive, access_log=None)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server, "127.0.0.1", int(os.environ["PORT"]))
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
