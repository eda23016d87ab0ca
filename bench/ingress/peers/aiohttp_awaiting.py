"""aiohttp that waits for Kafka's acknowledgement of each callback before it answers OK."""

from collections.abc import AsyncIterator

import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer

from bench.ingress.peers.serving import serve
from bench.peers.kafka import APP, OK, TOPIC, key, producer

PRODUCER = web.AppKey("producer", AIOKafkaProducer)


async def producing(app: web.Application) -> AsyncIterator[None]:
    """Keep one producer for as long as the application runs."""
    async with producer() as app[PRODUCER]:
        yield


async def receive(request: web.Request) -> web.Response:
    """Answer OK once the callback is in Kafka."""
    if request.query.get("SdkAppid") != APP:
        raise web.HTTPForbidden
    body = await request.read()
    callback = orjson.loads(body)
    conversation = key(callback["From_Account"], callback["To_Account"])
    await request.app[PRODUCER].send_and_wait(TOPIC, body, key=conversation)
    return web.Response(body=OK, content_type="application/json")


def main() -> None:
    """Serve at PORT until SIGTERM."""
    app = web.Application()
    app.cleanup_ctx.append(producing)
    app.router.add_post("/", receive)
    serve(app)


if __name__ == "__main__":
    main()
