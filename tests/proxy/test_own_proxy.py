"""The nginx of docs/operations.md in front of the ingress, which a user without Docker runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from support.processes.ingress import APP, Answer, Ingress, post, until
from support.processes.nginx import HOST, Nginx

# No broker is there: requests are answered without it.
NO_KAFKA = "127.0.0.1:1"
FULL = b'{"ActionStatus":"FAIL","ErrorInfo":"full","ErrorCode":1}'
FAULTS = {
    "dies": b"",
    "is full": b"HTTP/1.1 503 X\r\nContent-Length: %d\r\n\r\n%s" % (len(FULL), FULL),
    "is mute": None,
}


@asynccontextmanager
async def replica_that_fails(fault: str) -> AsyncIterator[int]:
    """Run a replica that reads requests and fails; yield its port."""
    answer = FAULTS[fault]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def nginx_before(folder: Path, *ports: int) -> AsyncIterator[Nginx]:
    """Run nginx in front of two replicas."""
    first, second = ports
    nginx = Nginx(folder, (first, second))
    try:
        await nginx.start()
        yield nginx
    finally:
        nginx.stop()


async def send(nginx: Nginx, request: bytes, address: str = "127.0.0.1") -> Answer:
    """Send a request on a connection of its own."""
    connection = await nginx.connect(address)
    try:
        connection.send(request)
        return await connection.answer()
    finally:
        connection.close()


async def until_repeated(nginx: Nginx, request: bytes) -> Answer:
    """Send until a request was passed to both replicas; return its answer."""
    answers: list[Answer] = []

    async def was_repeated() -> bool:
        answers.append(await send(nginx, request))
        await until(lambda: len(nginx.log()) == len(answers), "the request is logged")
        return ", " in nginx.log()[-1].partition(" upstream=")[2]

    await until(was_repeated, "a request is repeated")
    return answers[-1]


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("fault", [*FAULTS, "does not run"])
async def test_a_callback_that_one_replica_fails_is_answered_by_the_other(
    tmp_path: Path, new_ingress: Callable[..., Ingress], fault: str, size: int
) -> None:
    """Exactly once, whatever its size: the sender has an OK and does not notice."""
    ingress = new_ingress(tmp_path / "spool", NO_KAFKA)
    await ingress.start()
    request = post(json.dumps({"Text": "x" * size}).encode())
    not_started = new_ingress(tmp_path / "other", NO_KAFKA)
    async with AsyncExitStack() as stack:
        port = not_started.port
        if fault in FAULTS:
            port = await stack.enter_async_context(replica_that_fails(fault))
        nginx = await stack.enter_async_context(
            nginx_before(tmp_path / "nginx", port, ingress.port)
        )
        answer = await until_repeated(nginx, request)
        assert (answer.status, json.loads(answer.body)["ActionStatus"]) == (200, "OK")


@pytest.mark.parametrize(("fault", "status"), [("dies", 502), ("is full", 503), ("is mute", 504)])
async def test_if_both_replicas_fail_the_sender_gets_no_ok(
    tmp_path: Path, fault: str, status: int
) -> None:
    """After two tries, not more; a replica's own answer is passed on; the logs have no Sign."""
    request = post(b"{}").replace(b"&contenttype", b"&Sign=hidden&contenttype")
    old_form = request.replace(b"/?SdkAppid", b"/SdkAppid")
    async with (
        replica_that_fails(fault) as first,
        replica_that_fails(fault) as second,
        nginx_before(tmp_path / "nginx", first, second) as nginx,
    ):
        answer = await until_repeated(nginx, request)
        assert (await send(nginx, old_form)).status == status
    assert answer.status == status
    assert (answer.body == FULL) == (fault == "is full")
    assert all(line.count("127.0.0.1:") == 2 for line in nginx.log())
    assert f"POST {status} in " in nginx.logs()
    assert "hidden" not in nginx.logs()


async def test_the_ingress_knows_the_sender_and_answers_large_bodies_itself(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """The sender cannot forge its address; a 413 has the limit of the ingress as its reason."""
    ingress = new_ingress(tmp_path / "spool", NO_KAFKA, gateway_networks="127.0.0.1")
    await ingress.start()
    strange = post(b"{}").replace(APP.encode(), b"1499999999")
    strange = strange.replace(
        b"Host: ingress", b"Host: %s\r\nX-Forwarded-For: 192.0.2.1" % HOST.encode()
    )
    async with nginx_before(tmp_path / "nginx", ingress.port, ingress.port) as nginx:
        refused = await send(nginx, strange, "127.0.0.2")
        assert (refused.status, refused.headers["hookline-answer"]) == (403, "not_ours")
        large = await send(nginx, post(b"x" * ((1 << 20) + 1)))
        assert (large.status, large.headers["hookline-answer"]) == (413, "too_large")
    failures = (await ingress.status())["failures_by_sender"]
    assert ("not_ours", "127.0.0.2") in [(each["answer"], each["address"]) for each in failures]
