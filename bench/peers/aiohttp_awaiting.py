"""aiohttp that waits for Kafka's acknowledgement of each callback before it answers OK."""

import os
from collections.abc import AsyncIterator

import orjson
import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer

APP = "1400000001"
TOPIC = "tim.callbacks.v1"
OK = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'
PRODUCER = web.AppKey("producer", AIOKafkaProducer)


async def producing(app: web.Application) -> AsyncIterator[None]:
    """Keep one producer for as long as the application runs."""
    app[PRODUCER] = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA"],
        enable_idempotence=True,
        acks="all",
        compression_type="lz4",
        linger_ms=5,
    )
    await app[PRODUCER].start()
    yield
    await app[PRODUCER].stop()


async def receive(request: web.Request) -> web.Response:
    """Answer OK once the callback is in Kafka, in its conversation's partition."""
    if request.query.get("SdkAppid") != APP:
        raise web.HTTPForbidden
    body = await request.read()
    callback = orjson.loads(body)
    key = "|".join(sorted((callback["From_Account"], callback["To_Account"])))
    await request.app[PRODUCER].send_and_wait(TOPIC, body, key=key.encode())
    return web.Response(body=OK, content_type="application/json")


def main() -> None:
    """Serve at PORT until SIGTERM."""
    app = web.Application()
    app.cleanup_ctx.append(producing)
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
