"""The ceiling: aiohttp that reads the body, stores nothing and answers OK."""

import os

import uvloop
from aiohttp import web

OK = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'


async def receive(request: web.Request) -> web.Response:
    """Answer OK."""
    await request.read()
    return web.Response(body=OK, content_type="application/json")


def main() -> None:
    """Serve at PORT until SIGTERM."""
    app = web.Application()
    app.router.add_post("/", receive)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
