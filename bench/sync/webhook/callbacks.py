"""Send callbacks of many conversations to the topic at a steady rate."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from zlib import crc32

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import NotLeaderForPartitionError

from bench.sync.webhook.receiver import FAILING
from schemas.clients import started
from schemas.outgoing_record import (
    OutgoingRecord,
    ReceivedCallback,
    main_topic_record,
    with_place_and_id,
)
from schemas.topics import CALLBACKS

CONVERSATIONS = 10_000
APP = "1400000001"
# The time between two callbacks of the account FAILING.
FAILING_EVERY_S = 1.0
TICK_S = 0.005
START_S_MAX = 180.0


def made(number: int, account: str, at_s: float) -> OutgoingRecord:
    """Return the callback of a message of `account`."""
    at = int(at_s)
    body = {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": account,
        "To_Account": "recipient",
        "MsgSeq": number,
        "MsgRandom": number,
        "MsgTime": at,
        "MsgKey": f"{number}_{number}_{at}",
        "OnlineOnlyFlag": 0,
        "SendMsgResult": 0,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "see you at the station"}}],
        "EventTime": int(at_s * 1000),
    }
    return main_topic_record(
        ReceivedCallback(
            sdkappid=APP,
            url_command="C2C.CallbackAfterSendMsg",
            client_ip="10.0.0.1",
            opt_platform="iOS",
            received_at_ms=int(at_s * 1000),
            body=json.dumps(body).encode(),
        )
    )


def accounts(rate: int, count: int) -> Iterator[str]:
    """Yield the account of each of `count` callbacks: all in turn, and FAILING once in a while."""
    every = max(int(rate * FAILING_EVERY_S), 1)
    for number in range(count):
        is_failing = number % every == 0
        yield FAILING if is_failing else f"user{number % (CONVERSATIONS - 1)}"


async def send(kafka: str, names: list[str], rate: int) -> None:
    """Send a callback of each account in turn, at `rate` a second; all are in Kafka on return."""
    origin = secrets.token_hex(8)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, enable_idempotence=True, acks="all", compression_type="zstd"
    )
    async with started(producer, START_S_MAX):
        begun, clock_begun = time.time(), time.monotonic()
        sent = []
        for number, account in enumerate(names, 1):
            due_s = number / rate
            if (early_s := due_s - (time.monotonic() - clock_begun)) > 0:
                await asyncio.sleep(max(early_s, TICK_S))
            row = made(number, account, begun + due_s)
            sent.append(
                await producer.send(
                    row.topic,
                    row.value,
                    key=row.key,
                    headers=with_place_and_id(row.headers, origin, number),
                    partition=crc32(row.key or b"") % CALLBACKS.partitions,
                )
            )
        await asyncio.gather(*sent)


async def empty(kafka: str) -> None:
    """Delete all callbacks, so that a new target begins with those that come after this."""
    # -1: all that are there.
    everything = {
        TopicPartition(CALLBACKS.name, number): RecordsToDelete(-1)
        for number in range(CALLBACKS.partitions)
    }
    async with (
        started(AIOKafkaAdminClient(bootstrap_servers=kafka), START_S_MAX) as admin,
        asyncio.timeout(START_S_MAX),
    ):
        while True:
            try:
                await admin.delete_records(everything)
            except NotLeaderForPartitionError:
                # The topic was created a moment ago.
                await asyncio.sleep(TICK_S)
            else:
                return
