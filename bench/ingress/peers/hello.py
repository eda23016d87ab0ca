"""An aiohttp application with one route: it reads the body, stores nothing and answers OK."""

from aiohttp import web

from bench.ingress.peers.serving import OK, serve


async def receive(request: web.Request) -> web.Response:
    """Answer OK."""
    await request.read()
    return web.Response(body=OK, content_type="application/json")


def main() -> None:
    """Serve at PORT until SIGTERM."""
    app = web.Application()
    app.router.add_post("/", receive)
    serve(app)


if __name__ == "__main__":
    main()
