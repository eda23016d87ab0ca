"""The models of requests and answers that the FastAPI peers share, and their producer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel, Field

from bench.peers.kafka import producer


class Callback(BaseModel):
    """The fields of a callback that the key needs."""

    sender: str = Field(alias="From_Account")
    recipient: str = Field(alias="To_Account")


class Answer(BaseModel):
    """The answer that the sender expects."""

    status: str = Field(default="OK", alias="ActionStatus")
    info: str = Field(default="", alias="ErrorInfo")
    code: int = Field(default=0, alias="ErrorCode")


@asynccontextmanager
async def producing(app: FastAPI) -> AsyncIterator[None]:
    """Keep one producer for as long as the application runs."""
    async with producer() as app.state.producer:
        yield
