"""The public port, over loopback HTTP and a real spool."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from builders import APP, SAMPLES, a_body, ingress_settings

from ingress import receive
from ingress.intake import Intake
from ingress.row import Row
from ingress.spool import Spool
from ingress.spools import take
from schemas.topics import CALLBACKS, DEAD_LETTERS

BODY_BYTES_MAX = 4096
QUERY = f"?SdkAppid={APP}&CallbackCommand=C2C.CallbackAfterSendMsg&contenttype=json&OptPlatform=New"


class Door:
    """The public port as the sender sees it, and the spool behind it."""

    def __init__(self, base: str, session: aiohttp.ClientSession, spool: Spool) -> None:
        self._base = base
        self._session = session
        self._spool = spool

    async def post(
        self,
        body: bytes,
        query: str = QUERY,
        *,
        path: str = "/callback",
        method: str = "POST",
        **headers: str,
    ) -> tuple[int, dict[str, object], dict[str, str]]:
        """Return status, JSON and headers of the answer."""
        async with self._session.request(
            method, f"{self._base}{path}{query}", data=body, headers=headers
        ) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json(), dict(response.headers)

    def stored(self) -> list[Row]:
        """Return what is in the spool."""
        return self._spool.since(0, rows_max=100, bytes_max=1 << 20)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """A public port with a real spool."""
    spool = take(tmp_path, bytes_max=1 << 20)
    intake = Intake(spool, waiting_rows_max=100, waiting_bytes_max=1 << 20, stored=asyncio.Event())
    runner = web.ServerRunner(
        receive.server(intake, ingress_settings(tmp_path), body_bytes_max=BODY_BYTES_MAX)
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        host, port = runner.addresses[0][:2]
        yield Door(f"http://{host}:{port}", session, spool)
    await runner.cleanup()
    await intake.close()
    spool.close()


async def test_every_sample_is_stored_byte_for_byte_and_answered_ok(door: Door) -> None:
    """The answer is the protocol's, to the letter."""
    for sample in SAMPLES:
        status, answer, _ = await door.post(sample.read_bytes(), f"?SdkAppid={APP}")
        assert (status, answer) == (200, {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})
    assert [row.record.value for row in door.stored()] == [s.read_bytes() for s in SAMPLES]
    assert {row.record.topic for row in door.stored()} == {CALLBACKS.name}


@pytest.mark.parametrize("query", ["", "?SdkAppid=1400000009", "?sdkappid=" + APP, "?SdkAppid="])
async def test_an_app_that_is_not_ours_is_refused(door: Door, query: str) -> None:
    """Nothing of it is kept."""
    status, answer, _ = await door.post(a_body(), query)
    assert (status, answer["ActionStatus"], answer["ErrorCode"]) == (403, "FAIL", 1)
    assert "SdkAppid" in str(answer["ErrorInfo"])
    assert door.stored() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_taken(door: Door, method: str) -> None:
    """The answer says what is allowed."""
    status, answer, headers = await door.post(b"", method=method)
    assert (status, answer["ActionStatus"], headers["Allow"]) == (405, "FAIL", "POST")


async def test_another_path_is_not_here(door: Door) -> None:
    """Only the configured path is the callback URL."""
    status, answer, _ = await door.post(a_body(), path="/elsewhere")
    assert (status, answer["ActionStatus"]) == (404, "FAIL")


async def test_a_body_above_the_bound_is_refused(door: Door) -> None:
    """At the bound it is taken."""
    room = BODY_BYTES_MAX - len(a_body(CloudCustomData=""))
    status, _, _ = await door.post(a_body(CloudCustomData="x" * room))
    assert status == 200
    status, answer, _ = await door.post(a_body(CloudCustomData="x" * (room + 1)))
    assert (status, answer["ActionStatus"]) == (413, "FAIL")
    assert str(BODY_BYTES_MAX) in str(answer["ErrorInfo"])
    assert len(door.stored()) == 1


async def test_a_malformed_body_is_refused_and_kept(door: Door) -> None:
    """The dead-letter topic gets its bytes, the sender the reason."""
    status, answer, _ = await door.post(b"{not json")
    assert (status, answer["ActionStatus"]) == (400, "FAIL")
    assert "no JSON" in str(answer["ErrorInfo"])
    (row,) = door.stored()
    assert (row.record.topic, row.record.value) == (DEAD_LETTERS.name, b"{not json")


async def test_a_compressed_body_is_stored_decompressed(door: Door) -> None:
    """Readers of the topic see JSON whatever the sender's proxy did."""
    status, _, _ = await door.post(gzip.compress(a_body()), **{"Content-Encoding": "gzip"})
    assert status == 200
    assert door.stored()[0].record.value == a_body()


async def test_a_body_that_claims_to_be_gzip_and_is_not_is_refused(door: Door) -> None:
    """It is a bad request, not a crash."""
    status, answer, _ = await door.post(b"plain", **{"Content-Encoding": "gzip"})
    assert (status, answer["ActionStatus"]) == (400, "FAIL")
    assert door.stored() == []


@pytest.mark.parametrize(
    "command", ["C2C.CallbackBeforeSendMsg", "Group.CallbackBeforeSendMsg", "New.X"]
)
async def test_every_authentic_command_is_stored_and_answered_ok(door: Door, command: str) -> None:
    """A Before callback is never refused by accident (protocol §4)."""
    status, answer, _ = await door.post(a_body(CallbackCommand=command), f"?SdkAppid={APP}")
    assert (status, answer["ErrorCode"]) == (200, 0)
    assert dict(door.stored()[0].record.headers)["ce_type"] == command.encode()


async def test_parameters_may_come_in_any_order_and_unknown_ones_pass(door: Door) -> None:
    """The protocol promises no order."""
    query = f"?X=1&OptPlatform=Unkown&ClientIP=%3A%3A1&SdkAppid={APP}&contenttype=JSON"
    status, _, _ = await door.post(a_body(), query, **{"Content-Type": "text/plain"})
    assert status == 200
    headers = dict(door.stored()[0].record.headers)
    assert (headers["ce_clientip"], headers["ce_optplatform"]) == (b"::1", b"Unkown")


async def test_a_spool_that_cannot_take_more_is_answered_503(door: Door) -> None:
    """With Retry-After and a FAIL body, at once; what had been stored stays."""
    big = a_body(CloudCustomData="x" * 3000)
    status, answer, headers = await door.post(big)
    while status == 200:
        status, answer, headers = await door.post(big)
    assert (status, answer["ActionStatus"], headers["Retry-After"]) == (503, "FAIL", "1")
    assert len(door.stored()) == 100
