"""The public port over loopback HTTP with a real spool, for plain requests and others."""

import asyncio
import gzip
import hashlib
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from support.builders import APP, SAMPLES, PublicPort, a_body, public_port

from schemas.topics import CALLBACKS, DEAD_LETTERS

BODY_BYTES_MAX = 4096
QUERY = f"?SdkAppid={APP}&CallbackCommand=C2C.CallbackAfterSendMsg&contenttype=json&OptPlatform=New"


class Sender:
    """A client of the public port, which also reads the spool."""

    def __init__(self, port: PublicPort, session: aiohttp.ClientSession, *, plain: bool) -> None:
        self.port = port
        self._session = session
        # A request with this header is handed to aiohttp.
        self._headers = {} if plain else {"TE": "trailers"}
        self.stored = port.stored

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
            method, f"{self.port.url}{path}{query}", data=body, headers=self._headers | headers
        ) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json(), dict(response.headers)


@pytest.fixture(params=["plain", "aiohttp"])
async def client(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Sender]:
    """Yield a client of a public port with a real spool, which sends plain requests or others."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text('1400000002 = ["token", "old"]')
    async with (
        public_port(tmp_path / "spool", body_bytes_max=BODY_BYTES_MAX, tokens_file=secrets) as port,
        aiohttp.ClientSession() as session,
    ):
        yield Sender(port, session, plain=request.param == "plain")


async def test_every_sample_is_stored_byte_for_byte_and_answered_ok(client: Sender) -> None:
    """The answer is exactly the protocol's."""
    for sample in SAMPLES:
        status, answer, _ = await client.post(sample.read_bytes(), f"?SdkAppid={APP}")
        assert (status, answer) == (200, {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0})
    assert [row.record.value for row in client.stored()] == [s.read_bytes() for s in SAMPLES]
    assert {row.record.topic for row in client.stored()} == {CALLBACKS.name}


async def test_a_request_repeated_with_a_new_sign_has_the_same_id(client: Sender) -> None:
    """The id depends on the device, not on the signature, its time or the parameters' order."""
    body = b'{"CallbackCommand":"State.StateChange","EventTime":1764688415300}'
    app = "SdkAppid=1400000002"
    for device, key in (
        ("&ClientIP=10.0.0.1&OptPlatform=iOS", "token"),
        ("&OptPlatform=iOS&ClientIP=10.0.0.1", "old"),
        ("&ClientIP=10.0.0.2&OptPlatform=iOS", "token"),
        ("&ClientIP=10.0.0.1&OptPlatform=Web", "token"),
    ):
        now = int(time.time())
        sign = hashlib.sha256(f"{key}{now}".encode()).hexdigest()
        status, _, _ = await client.post(body, f"?{app}{device}&Sign={sign}&RequestTime={now}")
        assert status == 200
    ids = [dict(row.record.headers)["ce_id"] for row in client.stored()]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("query", ["", "?SdkAppid=1400000009", "?sdkappid=" + APP, "?SdkAppid="])
async def test_an_app_that_is_not_ours_is_refused(client: Sender, query: str) -> None:
    """Its callback is not stored."""
    status, answer, _ = await client.post(a_body(), query)
    assert (status, answer["ActionStatus"], answer["ErrorCode"]) == (403, "FAIL", 1)
    assert "SdkAppid" in str(answer["ErrorInfo"])
    assert client.stored() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_accepted(client: Sender, method: str) -> None:
    """The answer names the allowed method."""
    status, answer, headers = await client.post(b"", method=method)
    assert (status, answer["ActionStatus"], headers["Allow"]) == (405, "FAIL", "POST")


async def test_another_path_is_not_found(client: Sender) -> None:
    """Only the configured path is the callback URL."""
    status, answer, _ = await client.post(a_body(), path="/elsewhere")
    assert (status, answer["ActionStatus"]) == (404, "FAIL")


async def test_a_body_above_the_bound_is_refused(client: Sender) -> None:
    """A body at the bound is accepted."""
    room = BODY_BYTES_MAX - len(a_body(CloudCustomData=""))
    status, _, _ = await client.post(a_body(CloudCustomData="x" * room))
    assert status == 200
    status, answer, _ = await client.post(a_body(CloudCustomData="x" * (room + 1)))
    assert (status, answer["ActionStatus"]) == (413, "FAIL")
    assert str(BODY_BYTES_MAX) in str(answer["ErrorInfo"])
    assert len(client.stored()) == 1


async def test_a_malformed_body_is_refused_and_stored(client: Sender) -> None:
    """The dead-letter topic gets its bytes, the sender gets the reason."""
    status, answer, _ = await client.post(b"{not json")
    assert (status, answer["ActionStatus"]) == (400, "FAIL")
    assert "not JSON" in str(answer["ErrorInfo"])
    (row,) = client.stored()
    assert (row.record.topic, row.record.value) == (DEAD_LETTERS.name, b"{not json")


async def test_a_compressed_body_is_stored_decompressed(client: Sender) -> None:
    """Readers of the topic get JSON, whether or not a proxy compresses."""
    status, _, _ = await client.post(gzip.compress(a_body()), **{"Content-Encoding": "gzip"})
    assert status == 200
    assert client.stored()[0].record.value == a_body()


async def test_a_body_that_claims_to_be_gzip_and_is_not_is_refused(client: Sender) -> None:
    """The answer has the status 400."""
    status, answer, _ = await client.post(b"plain", **{"Content-Encoding": "gzip"})
    assert (status, answer["ActionStatus"]) == (400, "FAIL")
    assert client.stored() == []


@pytest.mark.parametrize(
    "command", ["C2C.CallbackBeforeSendMsg", "Group.CallbackBeforeSendMsg", "New.X"]
)
async def test_every_authentic_command_is_stored_and_answered_ok(
    client: Sender, command: str
) -> None:
    """A Before callback is never refused by accident."""
    status, answer, _ = await client.post(a_body(CallbackCommand=command), f"?SdkAppid={APP}")
    assert (status, answer["ErrorCode"]) == (200, 0)
    assert dict(client.stored()[0].record.headers)["ce_type"] == command.encode()


async def test_parameters_may_come_in_any_order_and_unknown_ones_pass(client: Sender) -> None:
    """The protocol promises no order."""
    query = f"?X=1&OptPlatform=Unkown&ClientIP=%3A%3A1&SdkAppid={APP}&contenttype=JSON"
    status, _, _ = await client.post(a_body(), query, **{"Content-Type": "text/plain"})
    assert status == 200
    headers = dict(client.stored()[0].record.headers)
    assert (headers["ce_clientip"], headers["ce_optplatform"]) == (b"::1", b"Unkown")


async def test_a_spool_that_cannot_take_more_is_answered_503(client: Sender) -> None:
    """The answer has Retry-After and a FAIL body; rows stored before stay."""
    big = a_body(CloudCustomData="x" * 3000)
    answers = [await client.post(big)]
    while all(status == 200 for status, _, _ in answers):
        answers = await asyncio.gather(*(client.post(big) for _ in range(20)))
    status, answer, headers = next(each for each in answers if each[0] != 200)
    assert (status, answer["ActionStatus"], headers["Retry-After"]) == (503, "FAIL", "1")
    assert len(client.stored()) == client.port.spool.last_sequence


async def test_both_ways_are_really_taken(client: Sender, request: pytest.FixtureRequest) -> None:
    """Otherwise half of these tests would test nothing. Only aiohttp's way closes connections."""
    for _ in range(3):
        status, _, headers = await client.post(a_body())
        assert status == 200
        assert ("Connection" not in headers) == ("plain" in request.node.name)


@pytest.mark.parametrize("path", ["/callback/SdkAppid=", "/callback/SdkAppid=1400000009"])
async def test_parameters_in_the_path_count_as_in_the_query(client: Sender, path: str) -> None:
    """The vendor's old documentation has this form."""
    assert (await client.post(a_body(), "", path=path))[0] == 403
    status, _, _ = await client.post(
        a_body(), "", path=f"/callback/SdkAppid={APP}&OptPlatform=iOS&ClientIP=%3A%3A1"
    )
    assert status == 200
    assert dict(client.stored()[0].record.headers)["ce_clientip"] == b"::1"


def signed(token: str, at_s: float, *, upper: bool = False) -> str:
    """Return a query signed as the sender signs."""
    sign = hashlib.sha256(f"{token}{int(at_s)}".encode()).hexdigest()
    return f"?SdkAppid=1400000002&Sign={sign.upper() if upper else sign}&RequestTime={int(at_s)}"


async def test_an_app_with_tokens_must_sign_with_one_of_them(client: Sender) -> None:
    """Two tokens are valid at once, in hex of any case; a refusal names its reason."""
    now = time.time()
    for query in (signed("token", now), signed("old", now, upper=True), signed("token", now - 50)):
        assert (await client.post(a_body(), query))[0] == 200
    for query, reason in (
        ("?SdkAppid=1400000002", "missing"),
        (f"?SdkAppid=1400000002&RequestTime={int(now)}", "missing"),
        (signed("token", now).partition("&RequestTime")[0], "missing"),
        (signed("other", now), "does not match"),
        (signed("token", now) + "0", "does not match"),
        (signed("token", now - 100), "too far"),
        (signed("token", now + 100), "too far"),
    ):
        status, answer, _ = await client.post(a_body(), query)
        assert (status, answer["ActionStatus"]) == (403, "FAIL")
        assert reason in str(answer["ErrorInfo"])
    assert len(client.stored()) == 3
    assert not any(name == "Sign" for row in client.stored() for name, _ in row.record.headers)


async def test_an_answer_has_a_date(client: Sender) -> None:
    """RFC 9110 requires it; the prebuilt answer has it, too."""
    _, _, headers = await client.post(a_body())
    assert headers["Date"].endswith("GMT")


async def test_a_disk_that_fails_is_answered_503_with_the_reason(
    client: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the disk works again, the answer is OK."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(client.port.spool.writer, "commit", fails)
        status, answer, headers = await client.post(a_body())
        assert (status, headers["Retry-After"], answer["ErrorCode"]) == (503, "1", 1)
        assert "Input/output error" in str(answer["ErrorInfo"])
    assert (await client.post(a_body()))[0] == 200


async def test_many_senders_at_once_are_each_answered(client: Sender) -> None:
    """Valid and malformed callbacks are mixed; every OK has its row."""

    async def one(number: int) -> int:
        if number % 3 == 2:
            return (await client.post(b"{"))[0]
        return (await client.post(a_body(MsgKey=f"k{number}")))[0]

    statuses = await asyncio.gather(*(one(number) for number in range(90)))
    assert [status for status in statuses if status == 200] == [200] * 60
    assert statuses[2::3] == [400] * 30
    topics = [row.record.topic for row in client.stored()]
    assert (topics.count(CALLBACKS.name), topics.count(DEAD_LETTERS.name)) == (60, 30)


async def test_a_clock_that_jumps_changes_times_and_nothing_else(
    client: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks are stored in order and answered OK, even if it jumps during a request."""
    jumps = iter([0, 10**6, -(10**6), 5, -(10**9), 3600, 0, -3600])
    real_ns = time.time_ns
    jump_s = 0

    def jumping_ns() -> int:
        nonlocal jump_s
        jump_s = next(jumps, 0)
        return real_ns() + jump_s * 10**9

    monkeypatch.setattr(time, "time_ns", jumping_ns)
    monkeypatch.setattr(time, "time", lambda: real_ns() / 1e9 + jump_s)
    for number in range(8):
        assert (await client.post(a_body(MsgKey=f"k{number}")))[0] == 200
    rows = client.stored()
    assert [row.sequence for row in rows] == list(range(1, 9))
    assert [b'"k%d"' % n in row.record.value for n, row in enumerate(rows)] == [True] * 8
    assert len({row.received_at_ms // 10**8 for row in rows}) > 3
    # The window of a Sign follows the present clock.
    assert (await client.post(a_body(), signed("token", real_ns() / 1e9 + jump_s)))[0] == 200


@pytest.mark.parametrize("name", ["SdkAppId", "sdkappid", "SDKAPPID", "Sdk_App_Id", "sdk-appid"])
@pytest.mark.parametrize("form", ["/callback?{}={}", "/callback/{}={}"])
async def test_another_spelling_of_sdkappid_is_named(client: Sender, name: str, form: str) -> None:
    """The answer has the spelling of the URL and the right one."""
    path, mark, query = form.format(name, APP).partition("?")
    status, answer, _ = await client.post(a_body(), mark + query, path=path)
    assert status == (403 if mark else 404)
    assert f"{name}=, but the name is spelled SdkAppid" in str(answer["ErrorInfo"])
    assert client.stored() == []


async def test_a_trailing_slash_is_named(client: Sender) -> None:
    """A sender that does not know the path learns nothing of it."""
    for path, is_named in (("/callback/", True), ("/callbac/", False), ("/callback//", False)):
        status, answer, _ = await client.post(a_body(), path=path)
        assert status == 404
        assert ("remove the / at its end" in str(answer["ErrorInfo"])) == is_named
    _, answer, _ = await client.post(a_body(), "?SdkAppid=1400000009")
    assert answer["ErrorInfo"] == "SdkAppid is missing or not one of ours"


@pytest.mark.parametrize("coding", ["x-gzip", "gzip, identity", "deflate", "deflate, gzip"])
async def test_all_codings_of_zlib_are_decoded(client: Sender, coding: str) -> None:
    """Also several of them, one after the other."""
    body = a_body()
    if "deflate" in coding:
        body = zlib.compress(body)
    if "gzip" in coding:
        body = gzip.compress(body)
    status, _, _ = await client.post(body, **{"Content-Encoding": coding})
    assert status == 200
    assert client.stored()[0].record.value == a_body()


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "nonsense"])
async def test_other_codings_are_answered_415_with_those_that_are_decoded(
    client: Sender, coding: str
) -> None:
    """In the header that RFC 7694 has for it, and in the body."""
    status, answer, headers = await client.post(b"x", **{"Content-Encoding": coding})
    assert (status, answer["ActionStatus"]) == (415, "FAIL")
    assert headers["Accept-Encoding"] == "gzip, deflate, identity"
    assert coding.rpartition(" ")[2] in str(answer["ErrorInfo"])
    assert client.stored() == []


async def test_a_body_that_is_larger_when_decoded_is_refused(client: Sender) -> None:
    """A megabyte of spaces is a kilobyte of gzip."""
    bomb = gzip.compress(b" " * (1 << 20))
    assert len(bomb) < BODY_BYTES_MAX
    for body, coding in ((bomb, "gzip"), (gzip.compress(bomb), "gzip, gzip")):
        status, answer, _ = await client.post(body, **{"Content-Encoding": coding})
        assert status == 413
        assert str(BODY_BYTES_MAX) in str(answer["ErrorInfo"])


async def test_every_refusal_has_the_name_of_its_answer(client: Sender) -> None:
    """So `hookline simulate` counts by name, whatever the text says."""
    for path, name in (("/elsewhere", "not_here"), ("/callback", None)):
        _, _, headers = await client.post(a_body(), path=path)
        assert headers.get("Hookline-Answer") == name
