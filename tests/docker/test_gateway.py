"""
The gateway as compose runs it, in front of two replicas that fail on demand (replica.py).

test_compose.py tests the gateway as a part of the whole pipeline.
"""

import contextlib
import http.client
import ipaddress
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.docs_blocks import ROOT, the_block
from support.processes.compose_project import Project

CHECKED = "/usr/local/etc/haproxy/checked"
HOST = "callbacks.example.com"

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(600)


class Gateway(Project):
    """A Compose project of the gateway and two such replicas, without the rest of the pipeline."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            COMPOSE_FILE="docker-compose.yml:tests/docker/replicas.yml",
            GATEWAY_DIR=str(folder),
            # The keys belong to this user, and nobody else may read them.
            GATEWAY_USER=f"{os.getuid()}:{os.getgid()}",
        )
        self.folder = folder

    def start(self, **settings: str) -> None:
        """Recreate the gateway with these settings and no others."""
        names = ("CERTIFICATE", "CLIENT_CA", "ALLOW_LIST")
        bounds = {"SOURCE_REQUESTS_PER_S_MAX": "10000", "SOURCE_CONNECTIONS_MAX": "1000"}
        complete = dict.fromkeys(names, "") | bounds | settings
        self.set(**{f"GATEWAY_{name}": value for name, value in complete.items()})
        self.compose("up", "--wait", "--no-deps", "gateway")

    def in_replica(self, script: str) -> None:
        """Run a shell script in one of the replicas."""
        self.compose("exec", "-T", "ingress", "sh", "-c", script)


class Answer:
    """The answer that the sender got."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.kind = response.headers["Content-Type"]
        self.retry_after = response.headers["Retry-After"]
        self.body: dict[str, Any] = json.loads(response.read())


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """Yield a running gateway with the keys from the docs' openssl block; remove it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        made = Gateway(Path(folder))
        try:
            made.compose("build", "topics")
            here = ("-u", f"{os.getuid()}:{os.getgid()}", "-v", f"{folder}:/here", "-w", "/here")
            made.docker(
                "run", "--rm", *here, "haproxy:3.0", "bash", "-euc", the_block("openssl req")
            )
            services = ("--scale", "ingress=2", "ingress", "gateway")
            made.compose("up", "--wait", "--no-deps", *services)
            yield made
        finally:
            made.down()


def send(
    gateway: Gateway,
    query: str = "",
    size: int = 100,
    *,
    path: str = "/",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send a callback on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ports["INGRESS"], timeout=180)
    if tls is not None:
        connection.port = gateway.ports["GATEWAY_TLS"]
        connection.connect()
        connection.sock = tls.wrap_socket(connection.sock, server_hostname=HOST)
    with contextlib.closing(connection):
        connection.request("POST", f"{path}?id={secrets.token_hex(8)}&{query}", body=b"x" * size)
        return Answer(connection.getresponse())


def assert_fail(answer: Answer, status: int, info: str, retry_after: str | None = None) -> None:
    """Assert that an answer comes from the gateway itself, with this status and ErrorInfo."""
    assert (answer.status, answer.kind) == (status, "application/json")
    assert answer.retry_after == retry_after
    assert answer.body == {"ActionStatus": "FAIL", "ErrorInfo": info, "ErrorCode": 1}


def raw(gateway: Gateway, sent: bytes) -> bytes:
    """Send bytes, and return all bytes that arrive until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", gateway.ports["INGRESS"]), timeout=180) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_the_sender_cannot_forge_its_address(gateway: Gateway) -> None:
    """The ingress gets the address of the connection alone, whatever the sender claims."""
    head = "POST /?id=forged HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n"
    forged = "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2, 192.0.2.3\r\n"
    answer = raw(gateway, f"{head}{forged}\r\nx".encode())
    (address,) = json.loads(answer.partition(b"\r\n\r\n")[2])["forwarded_for"]
    assert ipaddress.ip_address(address) not in ipaddress.ip_network("192.0.2.0/24")


@pytest.mark.parametrize("size", [100, 65536])
@pytest.mark.parametrize("fault", ["dies", "is-mute", "is-full"])
def test_a_request_that_one_replica_fails_is_answered_by_the_other(
    gateway: Gateway, fault: str, size: int
) -> None:
    """The sender sees one answer, an OK, also for a body of 64 KiB."""
    answer = send(gateway, f"fault={fault}", size)
    assert (answer.status, answer.body["bytes"]) == (200, size)
    assert answer.body["after"] not in ("", answer.body["by"])


def test_when_all_replicas_are_full_the_sender_gets_the_answer_of_the_last_one(
    gateway: Gateway,
) -> None:
    """A replica knows the reason better than the gateway."""
    answer = send(gateway, "fault=is-full&everywhere=1")
    assert (answer.status, answer.body["ErrorInfo"]) == (503, "full")


def test_when_all_replicas_hang_the_sender_gets_a_504(gateway: Gateway) -> None:
    """It comes before the replicas answer, which takes them 10 s."""
    answer = send(gateway, "fault=is-mute&everywhere=1")
    assert_fail(answer, 504, "no ingress answered in time", "1")


def test_when_all_replicas_die_the_sender_gets_a_502(gateway: Gateway) -> None:
    """The sender gets no answer only if the gateway had used both connections to them before."""
    answers: list[Answer] = []
    deadline = time.monotonic() + 180
    while not answers:
        assert time.monotonic() < deadline
        with contextlib.suppress(http.client.RemoteDisconnected):
            answers = [send(gateway, "fault=dies&everywhere=1")]
    assert_fail(answers[0], 502, "the ingress died or gave no valid answer", "1")


def test_a_replica_that_is_not_ready_is_asked_if_no_other_is_ready(gateway: Gateway) -> None:
    """A stopping replica still accepts callbacks, and a full one refuses them itself."""
    gateway.in_replica("touch /var/lib/hookline/spool/unready")
    try:
        deadline = time.monotonic() + 180
        while "no ingress is ready" not in admin(gateway, "/readyz"):
            assert time.monotonic() < deadline
        assert send(gateway).status == 200
    finally:
        gateway.in_replica("rm /var/lib/hookline/spool/unready")


def test_without_any_replica_the_sender_gets_a_503_until_one_is_back(
    gateway: Gateway,
) -> None:
    """The gateway finds the replicas by name, even if their addresses have changed."""
    gateway.docker("kill", *gateway.containers("ingress"))
    try:
        assert_fail(send(gateway), 503, "no ingress can be reached", "1")
    finally:
        gateway.docker("start", *gateway.containers("ingress"))
    deadline = time.monotonic() + 180
    while send(gateway).status != 200:
        assert time.monotonic() < deadline


def admin(gateway: Gateway, path: str) -> str:
    """Return the answer of the gateway's admin port, which compose does not publish."""
    ask = f"exec 3<>/dev/tcp/127.0.0.1/8404; printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    return gateway.compose("exec", "-T", "gateway", "bash", "-c", ask)


def test_metrics_can_be_scraped_within_the_network(gateway: Gateway) -> None:
    """They have HAProxy's own names."""
    assert 'haproxy_frontend_http_requests_total{proxy="callbacks"}' in admin(gateway, "/metrics")


def test_a_request_that_is_too_slow_is_cut(gateway: Gateway) -> None:
    """If its head was complete, the answer has a FAIL body."""
    head = b"POST /?id=1 HTTP/1.1\r\nHost: x\r\n"
    too_slow = (
        head,
        head + b"Content-Length: 9\r\n\r\n{",
        head + b"Content-Length: 200000\r\n\r\n" + b"x" * 150_000,
    )
    with ThreadPoolExecutor(max_workers=len(too_slow)) as pool:
        answers = list(pool.map(partial(raw, gateway), too_slow))
    assert [answer.split()[1] for answer in answers] == [b"408", b"408", b"400"]
    infos = (b"the request did not arrive in time", b"this is not a complete HTTP request")
    for answer, info in zip(answers[1:], infos, strict=True):
        assert answer.endswith(b'{"ActionStatus":"FAIL","ErrorInfo":"' + info + b'","ErrorCode":1}')


def test_the_log_names_faults_and_no_signature(gateway: Gateway) -> None:
    """The query has a signature, and so has the path in the old form of the URL."""
    fault = "fault=is-full&everywhere=1&Sign=hidden"
    for path in ("/query", "/SdkAppid=1&Sign=hidden"):
        assert send(gateway, fault, path=path).status == 503
    deadline = time.monotonic() + 180
    while "path=/SdkAppid=..." not in (log := gateway.compose("logs", "gateway")):
        assert time.monotonic() < deadline
    assert "path=/query" in log
    assert "hidden" not in log


def context(gateway: Gateway, *, own: str = "") -> ssl.SSLContext:
    """Return a TLS context that trusts the gateway and presents the client certificate `own`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(gateway.folder / "server.pem")
    if own:
        made.load_cert_chain(gateway.folder / f"{own}.pem", gateway.folder / f"{own}.key")
    return made


def test_with_a_certificate_there_is_tls_beside_the_plain_port(gateway: Gateway) -> None:
    """So the URL in Tencent's console can be changed without an interruption."""
    gateway.start(CERTIFICATE="gateway.pem")
    assert send(gateway, tls=context(gateway)).status == 200
    assert send(gateway).status == 200


def test_a_renewed_certificate_is_served_after_the_blocks_of_the_docs(
    gateway: Gateway, tmp_path: Path
) -> None:
    """The gateway reads one file, which has to be made of the two new ones first."""
    gateway.start(CERTIFICATE="gateway.pem")
    (tmp_path / "deploy" / "haproxy").mkdir(parents=True)
    (tmp_path / "deploy" / "haproxy" / "files").symlink_to(gateway.folder)
    renewed = tmp_path / "fullchain.pem"
    request = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}")
    files = ("-keyout", tmp_path / "privkey.pem", "-out", renewed)
    subprocess.run(
        [str(shutil.which("openssl")), *request, *files], check=True, capture_output=True
    )
    before = (gateway.folder / "gateway.pem").read_bytes()
    try:
        gateway.run(the_block("USR2"))
        assert served(gateway) != renewed.read_text()
        gateway.run(the_block("files/gateway.pem\n"), folder=tmp_path)
        gateway.run(the_block("USR2"))
        deadline = time.monotonic() + 180
        while served(gateway) != renewed.read_text():
            assert time.monotonic() < deadline
    finally:
        (gateway.folder / "gateway.pem").write_bytes(before)


def served(gateway: Gateway) -> str:
    """Return the certificate that a new connection gets."""
    return ssl.get_server_certificate(("127.0.0.1", gateway.ports["GATEWAY_TLS"]), timeout=180)


def test_with_a_ca_only_clients_with_its_certificate_get_in(gateway: Gateway) -> None:
    """A client without a certificate, with another one, or on the plain port is refused."""
    gateway.start(CERTIFICATE="gateway.pem", CLIENT_CA="client-ca.pem")
    assert send(gateway, tls=context(gateway, own="sender")).status == 200
    for stranger in ("", "server"):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            send(gateway, tls=context(gateway, own=stranger))
    assert_fail(send(gateway), 403, "the gateway does not let this address in")


def test_the_allow_list_can_be_reloaded_and_must_not_be_empty(gateway: Gateway) -> None:
    """The reload is the docs' command; a forged X-Forwarded-For header has no effect."""
    allowed = gateway.folder / "allow.txt"
    allowed.write_text("# the vendor\n192.0.2.0/24\n2001:db8::/32\n")
    gateway.start(ALLOW_LIST="allow.txt")
    assert_fail(send(gateway), 403, "the gateway does not let this address in")
    forged = b"POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 0\r\n"
    assert raw(gateway, forged + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 403 ")
    allowed.write_text("0.0.0.0/0\n")
    gateway.run(the_block("USR2"))
    deadline = time.monotonic() + 180
    while send(gateway).status != 200:
        assert time.monotonic() < deadline
    allowed.write_text("# nobody\n")
    assert "names no address" in gateway.fails("exec", "-T", "gateway", CHECKED)


def test_a_reload_under_load_costs_no_answer(gateway: Gateway) -> None:
    """Eight senders without retries, four of them with persistent connections, over two reloads."""
    gateway.start()
    reloaded = threading.Event()
    with ThreadPoolExecutor(max_workers=8) as pool:
        sending = [
            pool.submit(keep_sending, gateway, reloaded, keeps=keeps) for keeps in (True, False) * 4
        ]
        try:
            for _ in range(2):
                before = workers(gateway)
                gateway.run(the_block("USR2"))
                deadline = time.monotonic() + 180
                while workers(gateway) == before:
                    assert time.monotonic() < deadline
        finally:
            reloaded.set()
    assert {status for sent in sending for status in sent.result()} == {200}


def keep_sending(gateway: Gateway, enough: threading.Event, *, keeps: bool) -> list[int]:
    """Send until `enough`; return all statuses. With `keeps`, reuse the connection if possible."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ports["INGRESS"], timeout=180)
    statuses = []
    with contextlib.closing(connection):
        while not enough.is_set():
            connection.request("POST", "/?id=1", body=b"x")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
            if not keeps:
                connection.close()
    return statuses


def workers(gateway: Gateway) -> int:
    """Return how many HAProxy workers have started."""
    return gateway.compose("logs", "gateway").count("Loading success")


def test_requests_and_connections_of_one_address_are_limited(gateway: Gateway) -> None:
    """Some requests are answered OK, the rest 429; of 20 connections some are closed at once."""
    gateway.start(SOURCE_REQUESTS_PER_S_MAX="5", SOURCE_CONNECTIONS_MAX="10")
    answers = [send(gateway) for _ in range(30)]
    refused = [answer for answer in answers if answer.status != 200]
    assert 0 < len(refused) < len(answers)
    for answer in refused:
        assert_fail(answer, 429, "too many requests from this address", "1")
    with ThreadPoolExecutor(max_workers=20) as pool:
        beginnings = list(pool.map(lambda _: send_nothing(gateway), range(20)))
    assert set(beginnings) == {b"", b"HTTP/1.1 408"}


def send_nothing(gateway: Gateway) -> bytes:
    """Open a connection; return the start of the gateway's answer, empty if it only closes."""
    try:
        return raw(gateway, b"")[:12]
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            {"CERTIFICATE": "none.pem", "ALLOW_LIST": "none.txt"},
            ("GATEWAY_CERTIFICATE=none.pem: there is no such file", "GATEWAY_ALLOW_LIST=none.txt"),
        ),
        ({"CLIENT_CA": "client-ca.pem"}, ("of no use without GATEWAY_CERTIFICATE",)),
        ({"ALLOW_LIST": "empty.txt"}, ("GATEWAY_ALLOW_LIST=empty.txt names no address",)),
        ({"ALLOW_LIST": "words.txt"}, ("'office' is not a valid IPv4 or IPv6 address",)),
        ({"CERTIFICATE": "server.pem"}, ("No Private Key found",)),
        ({"SOURCE_REQUESTS_PER_S_MAX": "many"}, ("many",)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_fault_keeps_the_gateway_from_starting_and_is_named(
    gateway: Gateway, settings: dict[str, str], fault: tuple[str, ...]
) -> None:
    """Our own check reports all its faults together, before HAProxy starts."""
    (gateway.folder / "empty.txt").write_text("\n  # nobody yet\n")
    (gateway.folder / "words.txt").write_text("office\n")
    env = [f"--env=GATEWAY_{name}={value}" for name, value in settings.items()]
    error = gateway.fails("run", "--rm", "-T", "--no-deps", *env, "gateway", CHECKED)
    for part in fault:
        assert part in error


@pytest.mark.parametrize("files", ["", "all"])
def test_the_configuration_is_valid(gateway: Gateway, files: str) -> None:
    """It is valid with none of the files, as in a first start, and with all of them."""
    (gateway.folder / "allow.txt").write_text("192.0.2.0/24\n")
    names = {"CERTIFICATE": "gateway.pem", "CLIENT_CA": "client-ca.pem", "ALLOW_LIST": "allow.txt"}
    env = [f"--env=GATEWAY_{name}={value if files else ''}" for name, value in names.items()]
    gateway.compose("run", "--rm", "-T", "--no-deps", *env, "gateway", CHECKED)


def test_git_ignores_keys_in_the_gateways_folder() -> None:
    """So no key gets into the repository by accident."""
    key = ROOT / "deploy" / "haproxy" / "files" / "gateway.pem"
    done = subprocess.run(["git", "check-ignore", "--quiet", str(key)], cwd=ROOT, check=False)  # noqa: S607 - wherever it is
    assert done.returncode == 0
