"""The row of a callback, and the statement that adds it, as one writes them without the product."""

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeAlias

import orjson
from aiokafka import ConsumerRecord, TopicPartition
from psycopg import AsyncConnection

from bench.peers.reading import run

_COLUMNS = (
    *("ce_id", "sdkappid", "command", "client_ip", "platform", "received_at"),
    *("sender", "recipient", "group_id", "message_seq", "message_random", "message_key"),
    *("result", "sent_at", "online_only", "delivered", "element_types", "text"),
    *("body", "body_sha256", "altered"),
)
# Every callback is a row of the table of messages, for which it is enough to know one statement.
INSERT = (
    f"insert into hookline.messages ({', '.join(_COLUMNS)})"  # noqa: S608 - constants
    f" values ({', '.join(['%s'] * len(_COLUMNS))}) on conflict (ce_id) do nothing"
)


Records: TypeAlias = Sequence[ConsumerRecord[bytes, bytes]]


def run_inserting(
    insert: Callable[[AsyncConnection, Records], Awaitable[None]], **options: Any
) -> None:
    """Read the topic with these options of aiokafka; `insert` into the database at POSTGRES."""
    connections: list[AsyncConnection] = []

    async def write(_: TopicPartition, records: Records) -> None:
        # Within the running loop: a connection belongs to one.
        if not connections:
            connections.append(await AsyncConnection.connect(os.environ["POSTGRES"]))
        await insert(connections[0], records)

    run(write, **options)


def row(record: ConsumerRecord[bytes, bytes]) -> tuple[Any, ...]:
    """Return the values of a callback: the same columns as sync has, without its checks."""
    headers = {name: value.decode() for name, value in record.headers}
    value = record.value or b"{}"
    body = orjson.loads(value)
    elements = body.get("MsgBody", ())
    return (
        headers["ce_id"],
        headers["ce_sdkappid"],
        headers["ce_type"],
        headers.get("ce_clientip"),
        headers.get("ce_optplatform"),
        headers["ce_time"],
        body.get("From_Account"),
        body.get("To_Account"),
        body.get("GroupId"),
        body.get("MsgSeq"),
        body.get("MsgRandom"),
        body.get("MsgKey"),
        body.get("SendMsgResult"),
        datetime.fromtimestamp(body["MsgTime"], UTC) if "MsgTime" in body else None,
        body.get("OnlineOnlyFlag") == 1,
        not body.get("SendMsgResult"),
        [element["MsgType"] for element in elements],
        "\n".join(filter(None, (element["MsgContent"].get("Text") for element in elements))),
        value.decode(),
        sha256(value).digest(),
        False,
    )
