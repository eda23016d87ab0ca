"""Every error that Valkey can answer with: which the counters wait for, and which stop them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, a_stored_batch, a_stored_record
from support.counting import counting
from support.statistics import statistics_api
from valkey import Valkey
from valkey.exceptions import ResponseError

from consumers.counters import counts as counts_module
from consumers.counters.server import answering, connect
from consumers.runtime.batch import Position
from consumers.runtime.handler import Stopped, Unavailable
from ops.demo.embedded.child import free_port
from schemas.setting import Secret

WAITS = (
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "LOADING Valkey is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOSCRIPT No matching script.",
    "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Valkey is configured to save RDB snapshots, but it's unable to persist to disk.",
    "NOAUTH Authentication required.",
    "NOPERM User default has no permissions to run the 'pfadd' command",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "EXECABORT Transaction discarded because of previous errors.",
    "REDIRECT 127.0.0.1:6379",
    "ERR max number of clients reached",
    "ERR DB index is out of range",
    "ERR Script killed by user with SCRIPT KILL. script: 0, on @user_script:1.",
)
STOPS = (
    ("MOVED 866 127.0.0.1:6379", "not in cluster mode"),
    ("ASK 866 127.0.0.1:6379", "not in cluster mode"),
    ("CROSSSLOT Keys in request don't hash to the same slot", "not in cluster mode"),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", "for the counts alone"),
    ("ERR unknown command 'PEXPIRETIME', with args beginning with: ", "Valkey 7.2 or newer"),
)
# A bug of ours: the process ends, and its log has where.
CRASHES = ("ERR value is not an integer or out of range", "ERR wrong number of arguments")


@asynccontextmanager
async def answering_with(error: str) -> AsyncIterator[Secret]:
    """Yield the URL of a server that answers this error to each command of a request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(1 << 16):
            writer.write(f"-{error}\r\n".encode() * request.count(b"*"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Secret(f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")


async def fails(url: Secret, expected: type[Exception], text: str) -> None:
    """Check the exception of a single command, of a pipeline and of a transaction."""
    valkey = connect(url)
    try:
        with pytest.raises(expected, match=text):
            async with answering():
                await valkey.get("k")
        for is_transaction in (False, True):
            pipeline = valkey.pipeline(transaction=is_transaction)
            pipeline.get("k")
            with pytest.raises(expected):
                async with answering():
                    await pipeline.execute()
            await pipeline.aclose()
    finally:
        await valkey.aclose()


@pytest.mark.parametrize("error", WAITS, ids=lambda error: " ".join(error.split()[:2]))
async def test_the_counters_wait_while_valkey_answers(error: str) -> None:
    """None of these is a bug, and each may be over in a moment, or after a change in Valkey."""
    async with answering_with(error) as url:
        await fails(url, Unavailable, "Valkey: ")


async def test_a_valkey_that_cannot_be_reached_has_its_settings_in_the_text() -> None:
    """Nothing listens on the port."""
    advice = (
        r"; check that it runs, and COUNTERS_VALKEY \(of the statistics: STATS_VALKEY; of a comm"
    )
    await fails(Secret(f"valkey://127.0.0.1:{free_port()}/0"), Unavailable, advice)


@pytest.mark.parametrize(("error", "advice"), STOPS, ids=lambda text: text.split()[0])
async def test_the_counters_stop_when_valkey_answers(error: str, advice: str) -> None:
    """Waiting would not help, so the text says what to do."""
    async with answering_with(error) as url:
        await fails(url, Stopped, advice)


@pytest.mark.parametrize("error", CRASHES)
async def test_any_other_answer_is_a_bug(error: str) -> None:
    """It must not look like an outage."""
    async with answering_with(error) as url:
        await fails(url, ResponseError, error.split()[1])


async def test_a_wrong_password_is_named(valkey_url: str) -> None:
    """With the settings to check."""
    counts = counting(valkey_url.replace("://", "://:wrong@"))
    with pytest.raises(Unavailable, match="the password in COUNTERS_VALKEY"):
        await counts.position(P0)
    await counts.close()


async def test_a_script_that_is_killed_is_called_again(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SCRIPT KILL ends a call before its first write: nothing was counted, and the batch waits."""
    endless = "while redis.call('EXISTS', 'hookline:go') == 0 do end\n"
    monkeypatch.setattr(counts_module, "_SCRIPT", endless + counts_module._SCRIPT)  # noqa: SLF001
    counts = counting(valkey_url)
    await counts.store_first_position(P0, Position(0))
    batch = a_stored_batch(a_stored_record(0))
    with closing(Valkey.from_url(valkey_url)) as valkey:
        valkey.config_set("busy-reply-threshold", 10)
        try:
            calling = asyncio.create_task(counts.handle(batch))
            await _until_busy(valkey)
            # Another member, and the API, wait meanwhile.
            with pytest.raises(Unavailable, match="BUSY"):
                await counts.position(P0)
            async with (
                TestClient(TestServer(statistics_api(connect(Secret(valkey_url))))) as api,
                api.get("/v1/totals") as response,
            ):
                assert response.status == 503
            valkey.execute_command("SCRIPT", "KILL")
            with pytest.raises(Unavailable, match="Script killed by user"):
                await calling
        finally:
            valkey.config_set("busy-reply-threshold", 5000)
        assert await counts.position(P0) == Position(0)
        valkey.set("hookline:go", 1)
        await counts.handle(batch)
        assert valkey.execute_command("HGETALL", "hookline:1:applied")
    await counts.close()


async def _until_busy(valkey: Valkey) -> None:
    async with asyncio.timeout(180):
        while not await asyncio.to_thread(_is_busy, valkey):
            pass


def _is_busy(valkey: Valkey) -> bool:
    try:
        valkey.get("k")
    except ResponseError as error:
        return str(error).startswith("BUSY")
    return False
