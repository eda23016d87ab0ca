"""The counters and their API while Valkey is missing, slow or hanging."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, P1
from support.counting import counting
from support.kafka.tcp_proxy import Network, tcp_proxy
from support.statistics import statistics_api

from consumers.counters.server import connect
from consumers.runtime.batch import Position
from consumers.runtime.handler import Unavailable
from ops.demo.embedded.child import free_port
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.setting import Secret


async def test_a_database_number_that_valkey_does_not_have_is_unavailable(
    valkey_server: EmbeddedValkey,
) -> None:
    """Consumers wait until it is fixed, and the API answers 503."""
    url = Secret(f"valkey://127.0.0.1:{valkey_server.port}/99")
    counts = counting(url)
    with pytest.raises(Unavailable, match="DB index"):
        await counts.position(P0)
    await counts.close()


async def test_without_valkey_the_api_answers_503_and_stays_alive() -> None:
    """Status 503 for counts, 200 for /livez."""
    valkey = connect(Secret(f"valkey://127.0.0.1:{free_port()}/0"))
    async with TestClient(TestServer(statistics_api(valkey))) as client:
        async with client.get("/v1/totals") as response:
            assert response.status == 503
            assert "Valkey: " in (await response.json())["detail"]
        async with client.get("/livez") as response:
            assert response.status == 200
        async with client.get("/readyz") as response:
            assert response.status == 503
            assert (await response.text()).startswith("waiting for Valkey: Valkey: ")
    await valkey.aclose()


async def until(holds: Callable[[], bool]) -> None:
    """Wait a few seconds until the condition holds."""
    async with asyncio.timeout(180):
        while not holds():  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_connected", [False, True])
async def test_partitions_do_not_wait_for_one_whose_connection_hangs(
    valkey_server: EmbeddedValkey, valkey_url: str, *, is_connected: bool
) -> None:
    """While it connects, or later. The hanging partition is unavailable within 8 s."""
    assert valkey_url
    async with tcp_proxy(valkey_server.port) as proxy:
        url = Secret(f"valkey://127.0.0.1:{proxy.port}/0")
        counts = counting(url)
        if is_connected:
            for partition in (P0, P1):
                await counts.store_first_position(partition, Position(0))
        proxy.becomes(Network.SWALLOWS)
        hanging = asyncio.create_task(counts.store_first_position(P0, Position(0)))
        await until(lambda: proxy.swallowed > 0)
        proxy.becomes(Network.WORKS)
        answered = 0
        while not hanging.done():
            await counts.store_first_position(P1, Position(0))
            assert await counts.position(P1) == Position(0)
            answered += 1
            await asyncio.sleep(0.05)
        with pytest.raises(Unavailable):
            await hanging
        # A partition that waits for the other one is answered once at most.
        assert answered > 2
        await counts.store_first_position(P0, Position(0))
        assert await counts.position(P0) == Position(0)
        await counts.close()


async def test_a_call_has_a_timeout_even_if_each_of_its_steps_is_fast_enough(
    valkey_url: str,
) -> None:
    """Connecting consists of several commands, each with a timeout of its own."""
    assert valkey_url

    async def answer_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            await asyncio.sleep(3)
            writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(answer_slowly, "127.0.0.1", 0)
    async with server:
        url = Secret(f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        counts = counting(url)
        with pytest.raises(Unavailable, match="no answer within 8 s"):
            await counts.position(P0)
        await counts.close()
