"""
Processes that are named, not addressed: a request to each address of a name keeps the name.

A proxy finds a process by the name in the Host header, and a certificate has names, not addresses.
"""

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from support.kafka.certificates import Certificates
from support.pipeline_states import an_ingress
from support.processes.blackbox import HOOKLINE

from consumers.stats import addresses
from consumers.stats.process_statuses import SilentProcess
from consumers.stats.processes import Processes, Watched
from ops.audit import ends_reader
from ops.audit.ends_reader import read_ends
from ops.audit.spool_ends import SpoolEnds
from ops.demo.embedded.kafka import EmbeddedKafka

NAME = "ingress.example"
REPLICAS = ["127.0.0.1", "127.0.0.2"]
# Prints what an audit and the statistics find out about the ingresses with a name.
ASK = """
import asyncio, json, sys
import aiohttp
from consumers.stats import addresses
from consumers.stats.process_statuses import SilentProcess
from consumers.stats.processes import Processes, Watched
from ops.audit import ends_reader

async def resolve(*_):
    return sys.argv[2:]

async def ask():
    ends_reader.resolve = addresses._resolved = resolve
    ends = await ends_reader.read_ends([sys.argv[1]], None)
    async with aiohttp.ClientSession() as session:
        processes = Processes(session, Watched(ingress=[sys.argv[1]], consumers=[]))
        ingress = (await processes.ask()).ingress
        await processes.close()
    answered = sum(not isinstance(each, SilentProcess) for each in ingress)
    print(json.dumps([ends.last_sequences, ends.doubts, answered]))

asyncio.run(ask())
"""


def a_status(instance: str) -> dict[str, Any]:
    """Return the status of an ingress whose empty spool is named after it."""
    own = {"name": instance, "origin": instance, "last_sequence": 0}
    parts = {"instance": instance, "origin": instance, "last_sequence": 0, "spools": [own]}
    status: dict[str, Any] = msgspec.to_builtins(an_ingress())
    return status | parts


@asynccontextmanager
async def served(
    hosts: Sequence[str], names: Sequence[str], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Yield the port of a proxy at each of `hosts`; it knows ingresses by their names."""

    async def status(request: web.Request) -> web.Response:
        if request.host not in {f"{name}:{port}" for name in names}:
            return web.json_response({}, status=421)
        here = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        return web.json_response(a_status(f"{request.host.partition(':')[0]} at {here}"))

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://{names[0]}/status")

    app = web.Application()
    app.add_routes([web.get("/status", status), web.get("/moved/status", moved)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = 0
    try:
        for host in hosts:
            site = web.TCPSite(runner, host, port, ssl_context=context)
            await site.start()
            port = port or runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


def tls(certificates: Certificates, name: str) -> ssl.SSLContext:
    """Return the context of a server whose certificate has this name and no address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server(name))
    return context


async def output(*command: str | Path, authority: Path) -> tuple[int | None, bytes]:
    """Return the exit code and the output of a command that trusts this authority."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"SSL_CERT_FILE": str(authority)},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    return process.returncode, stdout


async def ends_of(
    urls: Sequence[str], monkeypatch: pytest.MonkeyPatch, *resolved: str
) -> SpoolEnds:
    """Return what an audit finds out about ingresses whose names have these addresses."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(resolved)

    monkeypatch.setattr(ends_reader, "resolve", resolve)
    return await read_ends(urls, None)


async def test_each_address_of_a_name_with_a_certificate_is_asked(tmp_path: Path) -> None:
    """The certificate has the name alone; one for another name, or not trusted, is refused."""
    certificates = Certificates(tmp_path)

    async def ask(url: str, authority: Path) -> list[Any]:
        code, stdout = await output(sys.executable, "-c", ASK, url, *REPLICAS, authority=authority)
        assert code == 0
        answer: list[Any] = json.loads(stdout)
        return answer

    async with served(REPLICAS, [NAME, "other.example"], tls(certificates, NAME)) as port:
        both = {f"{NAME} at {address}": 0 for address in REPLICAS}
        named = f"https://{NAME}:{port}"
        assert await ask(named, certificates.authority) == [both, {}, 2]
        for url, authority in (
            (named, certificates.other_authority),
            (f"https://other.example:{port}", certificates.authority),
        ):
            last_sequences, doubts, answered = await ask(url, authority)
            assert (last_sequences, answered) == ({}, 0)
            assert set(doubts) == {f"https://{address}:{port}" for address in REPLICAS}
            for text in doubts.values():
                assert "its certificate is not accepted" in text
                assert "give a name that its certificate has, and have SSL_CERT_FILE name" in text


async def test_the_command_audits_an_ingress_with_a_certificate(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """It is asked by its name, not by the address that the certificate does not have."""
    certificates, archive = Certificates(tmp_path), tmp_path / "archive"
    archive.mkdir()
    infos = await asyncio.get_running_loop().getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
    hosts = sorted({str(info[4][0]) for info in infos})

    async def audit(url: str) -> tuple[int | None, dict[str, Any]]:
        code, stdout = await output(
            *(HOOKLINE, "audit", "--json", "--kafka", empty_kafka.address),
            *("--archive", archive, "--ingress", url),
            authority=certificates.authority,
        )
        report: dict[str, Any] = json.loads(stdout)
        return code, report

    async with served(hosts, ["localhost", *hosts], tls(certificates, "localhost")) as port:
        code, report = await audit(f"https://localhost:{port}/")
        assert (code, report["doubts"], len(report["origins"])) == (0, {}, len(hosts))
        code, report = await audit(f"https://{hosts[0]}:{port}")
        assert (code, report["in_doubt"]) == (3, [f"https://{hosts[0]}:{port}"])


async def test_a_proxy_finds_each_ingress_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several names may have one address, and are asked all the same."""
    names = [NAME, "second.example"]
    async with served(["127.0.0.1"], names) as port:
        urls = [f"http://{name}:{port}" for name in names]
        ends = await ends_of(urls, monkeypatch, "127.0.0.1")
        assert ends.doubts == {}
        assert ends.last_sequences == {f"{name} at 127.0.0.1": 0 for name in names}
        # The proxy does not know the address.
        ends = await ends_of([f"http://127.0.0.1:{port}"], monkeypatch, "127.0.0.1")
        assert list(ends.doubts) == [f"http://127.0.0.1:{port}"]
        ends = await ends_of([*urls, f"http://a.example:{port}"], monkeypatch, "127.0.0.1")
        assert list(ends.doubts) == [f"http://127.0.0.1:{port} (a.example:{port})"]


async def test_the_address_of_an_ingress_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In `in_doubt` and `doubts` of --json; URLs that differ in the password are both asked."""
    async with served(["127.0.0.1"], []) as port:
        urls = [f"http://user:{password}@{NAME}:{port}" for password in ("secret1", "secret2")]
        ends = await ends_of([*urls, "http://user:secret3@[::1"], monkeypatch, "127.0.0.1")
    address = f"http://***@127.0.0.1:{port} ({NAME}:{port})"
    assert set(ends.doubts) == {f"{address} (1)", f"{address} (2)", "http://***@[::1"}
    assert "secret" not in str(ends)


async def test_a_redirect_leads_to_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another ingress may be at its end, and this one would never be asked."""
    async with served(["127.0.0.1"], [NAME]) as port:
        url = f"http://{NAME}:{port}/moved"
        ends = await ends_of([url], monkeypatch, "127.0.0.1")
    assert list(ends.doubts) == [f"http://127.0.0.1:{port}/moved"]
    assert "is not the admin port of an ingress: it answers with status 302" in str(ends.doubts)


async def test_the_statistics_ask_each_address_with_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So `hookline status` and the page show every process behind a name or a proxy."""

    async def resolved(_url: object) -> list[str]:
        return REPLICAS

    monkeypatch.setattr(addresses, "_resolved", resolved)
    names = [NAME, "second.example"]
    async with served(REPLICAS, names) as port, aiohttp.ClientSession() as session:
        urls = [f"http://{name}:{port}" for name in (*names, "unknown.example")]
        processes = Processes(session, Watched(ingress=urls, consumers=[]))
        measured = await processes.ask()
        await processes.close()
    assert measured.ingress is not None
    answered = [not isinstance(each, SilentProcess) for each in measured.ingress]
    assert answered == [True] * 4 + [False] * 2
    assert list(measured.ingress_addresses) == [f"http://{each}:{port}" for each in REPLICAS] * 3
