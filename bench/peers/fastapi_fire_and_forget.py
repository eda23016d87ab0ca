"""FastAPI that hands each callback to the producer and answers OK without waiting for Kafka."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field

from bench.peers.kafka import APP, TOPIC, key, producer


class Callback(BaseModel):
    """What the key needs of a callback."""

    sender: str = Field(alias="From_Account")
    recipient: str = Field(alias="To_Account")


class Answer(BaseModel):
    """What the sender wants to read."""

    status: str = Field(default="OK", alias="ActionStatus")
    info: str = Field(default="", alias="ErrorInfo")
    code: int = Field(default=0, alias="ErrorCode")


@asynccontextmanager
async def producing(app: FastAPI) -> AsyncIterator[None]:
    """Keep one producer for as long as the application runs."""
    async with producer() as app.state.producer:
        yield


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
