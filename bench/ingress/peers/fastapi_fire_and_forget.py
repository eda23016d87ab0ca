"""FastAPI that hands each callback to the producer and answers OK without waiting for Kafka."""

from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request

from bench.ingress.peers.fastapi_shapes import Answer, Callback, producing
from bench.peers.kafka import APP, TOPIC, key

app = FastAPI(lifespan=producing)


@app.post("/")
async def receive(
    request: Request, callback: Callback, sdkappid: Annotated[str, Query(alias="SdkAppid")]
) -> Answer:
    """Answer OK once the producer has room for the callback."""
    if sdkappid != APP:
        raise HTTPException(403)
    conversation = key(callback.sender, callback.recipient)
    await app.state.producer.send(TOPIC, await request.body(), key=conversation)
    return Answer()
