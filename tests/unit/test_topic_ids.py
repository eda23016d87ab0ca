"""The request for a topic's id, to a broker that does not answer."""

import asyncio

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata

from schemas.kafka_names import KafkaName
from schemas.topic_ids import describe_topic

# The broker's answer to ApiVersions: no error, and Metadata (3) from version 0 to 12.
VERSIONS = bytes.fromhex("0000 00000001 0003 0000 000c")


async def test_a_connection_without_an_answer_is_not_used_again() -> None:
    """Otherwise a consumer would wait until the kernel closes the connection, while it fetches."""
    connections = 0
    unanswered = asyncio.Semaphore(0)

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        request = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
        answer = request[4:8] + VERSIONS
        writer.write(len(answer).to_bytes(4, "big") + answer)
        while length := await reader.read(4):
            await reader.readexactly(int.from_bytes(length, "big"))
            unanswered.release()
        writer.close()

    async with await asyncio.start_server(answers_once, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        client = AIOKafkaClient(bootstrap_servers=f"{host}:{port}")
        client.cluster._brokers[0] = BrokerMetadata(0, host, port, None)  # noqa: SLF001
        asked = []
        for _ in range(2):
            asking = asyncio.create_task(describe_topic(client, 0, KafkaName("t")))
            async with asyncio.timeout(180):
                await unanswered.acquire()
            # As a time-out does.
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            asked.append(connections)
        await client.close()
    assert asked == [1, 2]
