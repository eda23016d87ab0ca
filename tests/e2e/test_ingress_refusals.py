"""An ingress reports to operators its refused requests, their senders, and the tokens in use."""

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.processes.command import run_hookline
from support.processes.ingress import Answer, Connection, Ingress, until
from support.processes.senders import body

# No broker is there: requests are answered without it.
NO_KAFKA = "127.0.0.1:1"
SIGNED_APP = "1400000002"
pytestmark = pytest.mark.timeout(600)


async def send(ingress: Ingress, query: str, *headers: str) -> Answer:
    """Send a callback with these headers on a connection of its own."""
    content = body("sender", 1, 200)
    lines = [f"POST /?{query} HTTP/1.1", "Host: a", f"Content-Length: {len(content)}", *headers]
    return await send_bytes(ingress, "\r\n".join([*lines, "", ""]).encode() + content)


async def send_bytes(ingress: Ingress, request: bytes) -> Answer:
    """Send bytes on a connection of its own; return the answer."""
    connection = await Connection.open(ingress.port)
    try:
        connection.send(request)
        return await connection.answer()
    finally:
        connection.close()


def signed(token: str) -> str:
    """Return a query that is signed now."""
    now = int(time.time())
    sign = hashlib.sha256(f"{token}{now}".encode()).hexdigest()
    return f"SdkAppid={SIGNED_APP}&Sign={sign}&RequestTime={now}"


def senders(status: dict[str, Any], answer: str) -> dict[str, int]:
    """Return the number of refusals by address."""
    rows = status["failures_by_sender"]
    return {row["address"]: row["count"] for row in rows if row["answer"] == answer}


async def test_refused_senders_are_named_by_the_gateways_header_alone(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """On a plain request and on another one, in `/status` and in the log."""
    ingress = new_ingress(tmp_path / "a", NO_KAFKA, gateway_networks="127.0.0.0/8")
    direct = new_ingress(tmp_path / "b", NO_KAFKA, gateway_networks="10.0.0.0/8")
    await asyncio.gather(ingress.start(), direct.start())
    forged = "X-Forwarded-For: 192.0.2.66"
    for each in (ingress, direct):
        for more in ((), ("TE: trailers",)):
            answer = await send(each, "SdkAppid=9", "X-Forwarded-For: 203.0.113.9", *more)
            assert (answer.status, answer.headers["hookline-answer"]) == (403, "not_ours")
        # Two headers: the gateway's is the last one.
        assert (
            await send(each, "SdkAppid=9", forged, "X-Forwarded-For: 203.0.113.9")
        ).status == 403
        assert (await send_bytes(each, b"\x16\x03\x01\x02\0\x01\0\r\n\r\n")).status == 400
    status = await ingress.status()
    assert senders(status, "not_ours") == {"203.0.113.9": 3}
    assert senders(status, "not_http") == {"127.0.0.1": 1}
    assert senders(await direct.status(), "not_ours") == {"127.0.0.1": 3}
    log = ingress.log.read_text()
    assert "the last one from 203.0.113.9 to /?SdkAppid=9" in log
    assert "this is a TLS handshake" in log
    assert "203.0.113.9" not in direct.log.read_text()


def logged_counts(ingress: Ingress, answer: str) -> list[int]:
    """Return the numbers in the log's lines about an answer."""
    lines = (json.loads(line)["message"] for line in ingress.log.read_text().splitlines())
    found = (re.match(rf"{answer} \((\d+) since the last line\)", line) for line in lines)
    return [int(match[1]) for match in found if match]


async def test_the_log_counts_each_refused_request_also_the_last_ones(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """Without another request: after LOG_INTERVAL_S, and when the process stops."""
    ingress = new_ingress(tmp_path / "a", NO_KAFKA)
    await ingress.start()
    for _ in range(3):
        assert (await send(ingress, "SdkAppid=9")).status == 403

    async def all_are_logged() -> bool:
        return sum(logged_counts(ingress, "not_ours")) == 3

    await until(all_are_logged, "the log has all refused requests")
    for _ in range(4):
        assert (await send_bytes(ingress, b"\x16\x03\x01\x02\0\x01\0\r\n\r\n")).status == 400
    ingress.process.terminate()
    await until(lambda: ingress.process.poll() is not None, "the ingress has stopped")
    assert sum(logged_counts(ingress, "not_http")) == 4


async def test_bytes_that_are_not_http_are_refused_with_the_reason(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """The sender gets it, and the log and `/status` have it, as printable text."""
    ingress = new_ingress(tmp_path / "a", NO_KAFKA)
    await ingress.start()
    for request_bytes, words in (
        (b"\x80\x01\x1b[31m\r\n\r\n", r"begins with b'\x80\x01\x1b[31m\r\n\r\n'"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nPOST / HTTP/1.1\r\n\r\n", "the PROXY protocol"),
        (b"POST / HTTP/1.1\r\nHost : a\r\n\r\n", "Invalid header token: b'Host : a'"),
    ):
        answer = await send_bytes(ingress, request_bytes)
        assert words in json.loads(answer.body)["ErrorInfo"]
        (row,) = (await ingress.status())["failures_by_sender"]
        assert (row["answer"], words in row["reason"]) == ("not_http", True)
        assert row["reason"].isprintable()
    # Later ones are only counted for LOG_INTERVAL_S.
    line = next(line for line in ingress.log.read_text().splitlines() if "not_http (" in line)
    assert r"begins with b'\x80\x01\x1b[31m\r\n\r\n'" in json.loads(line)["message"]


async def test_the_last_use_of_a_token_shows_when_the_old_one_can_be_removed(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """As docs/receiving.md describes the rotation."""
    secrets = tmp_path / "tokens.toml"
    secrets.write_text(f'{SIGNED_APP} = ["new", "old"]')
    ingress = new_ingress(tmp_path / "a", NO_KAFKA, tokens_file=secrets)
    await ingress.start()
    for token in ("old", "old", "new"):
        assert (await send(ingress, signed(token))).status == 200
    answer = await send(ingress, signed("wrong"))
    assert (answer.status, answer.headers["hookline-answer"]) == (403, "wrong_sign")
    new, old = (await ingress.status())["tokens"]
    assert (new["place"], new["uses"], old["place"], old["uses"]) == (1, 1, 2, 2)
    assert 0 <= new["last_used_ago_s"] <= old["last_used_ago_s"] < 300
    assert new["fingerprint"] == hashlib.sha256(b"new").hexdigest()[:8]
    assert set(new) == {
        *("sdkappid", "place", "fingerprint"),
        *("uses", "last_used_at", "last_used_ago_s", "unused_for_s"),
    }
    assert old["unused_for_s"] == old["last_used_ago_s"]


async def test_one_command_shows_the_tokens_and_failures_of_all_replicas(
    tmp_path: Path, new_ingress: Callable[..., Ingress]
) -> None:
    """The old token counts as unused only if every replica answers, and none has used it."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'{SIGNED_APP} = ["new", "old"]')
    replicas = [new_ingress(tmp_path / name, NO_KAFKA, tokens_file=tokens) for name in "ab"]
    await asyncio.gather(*(each.start() for each in replicas))
    for token in ("new", "old", "wrong"):
        await send(replicas[1], signed(token))
    await send(replicas[0], signed("wrong"))
    shown = await state_of(replicas, "--json")
    new, old = json.loads(shown)["tokens"]
    assert (old["fingerprint"], old["replicas"], old["uses"]) == ("cba06b57", 2, 1)
    assert old["unused_for_s"] == old["last_used_ago_s"]
    assert (new["place"], new["uses"]) == (1, 1)
    assert senders(json.loads(shown), "wrong_sign") == {"127.0.0.1": 2}
    replicas[1].kill()
    shown = await state_of(replicas, "--tokens", "--failures-by-sender")
    assert f"{SIGNED_APP} cba06b57 2 1 of 2 0 - not known" in shown
    assert f"127.0.0.1:{replicas[1].admin_port} does not answer: unused for is not known" in shown
    assert f"127.0.0.1:{replicas[1].admin_port} does not answer: its answers are not" in shown


async def state_of(replicas: list[Ingress], *options: str) -> str:
    """Return what `hookline status` prints of these replicas alone, with one space as a gap."""
    addresses = [f"--ingress=http://127.0.0.1:{each.admin_port}" for each in replicas]
    ended = await asyncio.to_thread(run_hookline, "status", *addresses, *options, env=os.environ)
    assert not ended.stderr
    return " ".join(ended.stdout.split())
