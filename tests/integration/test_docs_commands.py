"""Run every command of the docs unchanged, in the order in which a new operator runs them."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from support.docs_blocks import ROOT, blocks, the_block

from ops.demo.embedded.child import free_port
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey

# CI runs these: one of them runs this test, the others need the machine for themselves.
# Blocks of docker compose and of certificates are run by tests/docker.
RUN_BY_CI = {
    "make setup\n",
    "make setup\nmake check\n",
    "make test\n",
}
# Its own test (tests/e2e/test_demo.py) runs what this target runs.
RUN_BY_E2E = {"make demo\n"}


# The spool that the docs name.
SPOOL_NAME = "0123456789abcdef"
# The key of a message that the docs look for.
MESSAGE_KEY = "48374_2837546_1557481126"
# The ports that the docs name. The test replaces them, because other processes may use them.
OUR_PORTS = ("8080", "8081", "8083", "8084", "8085")


class Shell:
    """A shell in an empty directory, whose environment names this test's servers and ports."""

    def __init__(
        self, folder: Path, kafka: EmbeddedKafka, postgres: EmbeddedPostgres, valkey: EmbeddedValkey
    ) -> None:
        self._folder = folder
        self.ports = {port: free_port() for port in OUR_PORTS}
        self.ports |= {"5432": postgres.port, "6379": valkey.port}
        self._bootstrap_servers = kafka.address
        self._env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOOKLINE_BOOTSTRAP_SERVERS": kafka.address,
            "INGRESS_PORT": str(self.ports["8080"]),
            "INGRESS_ADMIN_PORT": str(self.ports["8081"]),
            "INGRESS_TOKENS_FILE": str(tokens_file(folder)),
            "STATS_PORT": str(self.ports["8083"]),
            "ARCHIVE_SEGMENT_AGE_S": "1",
        }
        self.ran: set[str] = set()
        # Of the consumer that was started last, if its block names none.
        self.consumer_port = 0
        # In place of the name that the documents give a spool.
        self.spool_name = SPOOL_NAME
        # In place of the key of a message that they name.
        self.message_key = MESSAGE_KEY
        self._kept = ""

    def _here(self, block: str) -> str:
        for port, free in self.ports.items():
            block = block.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
            block = block.replace(f"PORT={port}", f"PORT={free}")
        block = block.replace(SPOOL_NAME, self.spool_name)
        block = block.replace(MESSAGE_KEY, self.message_key)
        for kafka in ("127.0.0.1:9092", "127.0.0.1:9094"):
            block = block.replace(kafka, self._bootstrap_servers)
        return block

    async def run(self, block: str, *, keeps: str = "") -> str:
        """Run a block to its end, return its output, and keep these variables for later blocks."""
        self.ran.add(block)
        kept = self._folder / "kept"
        keep = f"declare -p {keeps} > {kept}\n" if keeps else ""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", self._kept + self._here(block) + keep),
            cwd=self._folder,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await asyncio.wait_for(process.communicate(), 600))[0].decode()
        assert process.returncode == 0, f"{block}\n{output}"
        self._kept += kept.read_text() if keeps else ""
        return output

    async def export(self, block: str) -> None:
        """Run a block of exports, and keep all of its variables."""
        await self.run(block, keeps=" ".join(re.findall(r"[ \n]([A-Z_]+)=", block)))

    @asynccontextmanager
    async def running(
        self, block: str, *, python: bool = False
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a block whose process runs until it is stopped; it must then end with exit code 0."""
        self.ran.add(block)
        self.consumer_port = free_port()
        here = self._here(block)
        # exec: the signal shall reach the service, not the shell before it.
        script = self._kept + re.sub(
            r"(\S+=\S+ )*(python -m .*)$", r"exec env \g<0>", here.rstrip()
        )
        command = (sys.executable, "-u", "-c", here) if python else ("bash", "-euc", script)
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self._folder,
            env=self._env | {"CONSUMER_ADMIN_PORT": str(self.consumer_port)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield process
            assert process.returncode is None, (await process.communicate())[0].decode()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            output = (await asyncio.wait_for(process.communicate(), 180))[0].decode()
        assert python or process.returncode == 0, f"{block}\n{output}"


def answers(url: str) -> bool:
    """Return whether an HTTP server answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own URL
            return bool(response.status == 200)
    except OSError:
        return False


async def until_answers(url: str) -> None:
    """Return once an HTTP server answers 200."""
    async with asyncio.timeout(180):
        while not await asyncio.to_thread(answers, url):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


@asynccontextmanager
async def all_processes(shell: Shell) -> AsyncIterator[None]:
    """Run the ingress, the consumers and the statistics of docs/operations.md."""
    async with (
        shell.running(the_block("python -m ingress")),
        shell.running(archive_block()),
        shell.running(the_block("consumers sync")),
        shell.running(the_block("consumers counters")),
        shell.running(the_block("consumers.stats")),
    ):
        await until_answers(f"http://127.0.0.1:{shell.ports['8081']}/readyz")
        await until_answers(f"http://127.0.0.1:{shell.ports['8083']}/livez")
        yield


@pytest.mark.timeout(1200)
async def test_every_command_in_the_docs_works(
    empty_kafka: EmbeddedKafka,
    postgres_server: EmbeddedPostgres,
    valkey_server: EmbeddedValkey,
    valkey_url: str,
    tmp_path: Path,
) -> None:
    """From topics to audit and repair; a block that no test runs fails the test."""
    folder = tmp_path / "operator"
    folder.mkdir()
    tokens_file(folder).parent.mkdir(parents=True)
    tokens_file(folder).write_text("# none yet\n")
    assert valkey_url == valkey_server.url  # and it is empty now
    shell = Shell(folder, empty_kafka, postgres_server, valkey_server)
    await shell.export(the_block('export PATH="$PWD'))
    await shell.run(the_block("hookline topics apply\n"))
    async with all_processes(shell):
        async with shell.running(the_block("AIOKafkaConsumer", "python"), python=True) as reader:
            assert (
                "proven: every callback is exactly once in Kafka, archive, PostgreSQL, counts\n"
                in await shell.run(the_block("hookline simulate"))
            )
            assert reader.stdout is not None
            line = (await asyncio.wait_for(reader.stdout.readline(), 180)).decode()
            assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \S+ \S+\n", line)
        await shell.run(audit_block())
        await shell.run(the_block("1 day ago"))
        await nothing_to_send_again(shell)
        await the_statistics(shell)
        # Of the consumers, only the port of the archive differs from that in the docs.
        assert "Receiving" in await shell.run(the_block("hookline status"))
        assert "records" in await shell.run(the_block("hookline archive ls"))
        await the_places_of_a_message(shell, postgres_server)
        await shell.run(the_block("hookline archive verify"))
        await shell.run(the_block("hookline archive expire"))
        await shell.run(the_block("hookline archive parquet"))
        await shell.run(the_block("hookline sync expire"))
        await shell.run(the_block("whsec_"))
        by_command = the_block("zstdcat")
        if all(map(shutil.which, ("zstdcat", "jq"))):
            assert "C2C.CallbackAfterSendMsg" in await shell.run(by_command)
        shell.ran.add(by_command)  # tests/unit/test_queries.py has a stand-in
        query = the_block("date_trunc('day', received_at", "sql")
        with psycopg.connect(postgres_server.conninfo) as connection:
            days = connection.execute(query.encode()).fetchall()
        assert sum(messages for _, messages, _ in days) > 100
        assert sum(people for _, _, people in days) > 100
        await the_first_callback(shell, folder)
        for block in blocks("sh"):
            if "CONSUMER_REBUILD" in block:
                async with shell.running(block):
                    await until_answers(f"http://127.0.0.1:{shell.consumer_port}/livez")
        assert "To be counted" in await shell.run(the_block("hookline counters rebuild"))
    (a_spool,) = (folder / "spool").glob("*.lmdb")
    shell.spool_name = a_spool.stem
    assert " in the file" in await shell.run(the_block("hookline spool ls"))
    run_by_docker = {b for b in blocks("sh") if b.startswith(("docker compose", "openssl"))}
    # By test_acls.py, and by the test below.
    by_others = {the_block("--acls"), second_pipeline_block()}
    ran = shell.ran - set(blocks("python")) | by_others
    assert set(blocks("sh")) == ran | RUN_BY_CI | RUN_BY_E2E | run_by_docker | {pytest_block()}


@pytest.mark.timeout(600)
async def test_a_second_pipeline_runs_on_the_same_servers(
    empty_kafka: EmbeddedKafka,
    postgres_server: EmbeddedPostgres,
    valkey_server: EmbeddedValkey,
    valkey_url: str,
    tmp_path: Path,
) -> None:
    """In topics, groups, a database and a Valkey of its own, as docs/operations.md makes them."""
    assert valkey_url == valkey_server.url
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as connection:
        connection.execute("drop database if exists mine with (force)")
    tokens_file(tmp_path).parent.mkdir(parents=True)
    tokens_file(tmp_path).write_text("# none yet\n")
    shell = Shell(tmp_path, empty_kafka, postgres_server, valkey_server)
    await shell.export(the_block('export PATH="$PWD'))
    await shell.export(second_pipeline_block())
    assert "mine.tim.callbacks.v1: created" in await shell.run(the_block("hookline topics apply\n"))
    async with all_processes(shell):
        proven = "proven: every callback is exactly once in Kafka, archive, PostgreSQL, counts\n"
        assert proven in await shell.run(the_block("hookline simulate"))
    with psycopg.connect(postgres_server.conninfo.replace("/postgres", "/mine")) as connection:
        assert connection.execute("select count(*) from hookline.receipts").fetchall() == [(500,)]


@pytest.mark.timeout(600)
def test_the_commands_that_run_some_tests_work() -> None:
    """In the folder of the project, with the Python of this run."""
    commands = pytest_block().replace(".venv/bin/pytest", f"{sys.executable} -m pytest")
    subprocess.run(["/bin/bash", "-euc", commands], cwd=ROOT, check=True, timeout=500)


def pytest_block() -> str:
    """Return the block that runs some tests."""
    return the_block(".venv/bin/pytest")


def tokens_file(folder: Path) -> Path:
    """Return where docs/start.md puts the apps' tokens."""
    return folder / "deploy" / "secrets" / "tokens.toml"


async def nothing_to_send_again(shell: Shell) -> None:
    """Ask for dead letters, and for callbacks to replay: every sink has everything."""
    assert "no dead letters" in await shell.run(the_block("dead-letters ls"))
    assert "nothing was done" in await shell.run(the_block("resend ingress"))
    assert "nothing was done" in await shell.run(the_block("dead-letters drop"))
    assert "no callback is selected" in await shell.run(the_block("replay sync --since"))
    replayed = await shell.run(the_block("hookline replay sync --postgres"))
    assert "a replay would change nothing" in replayed
    assert re.search(r"· 0 callbacks written, [0-9]+ were there and are unchanged", replayed)


async def the_statistics(shell: Shell) -> None:
    """Ask as docs/statistics.md does, after callbacks were counted."""
    summary = json.loads(await shell.run(the_block("/v1/summary")))
    assert summary["today"]["figures"]["messages"] > 100
    days = await shell.run(the_block("step=day&format=csv"))
    assert days.startswith("begin,end,callbacks,messages,")
    assert days.count("\n") == 31
    hours = json.loads(await shell.run(the_block("by=type")))
    assert hours["rows"][-1]["by"]["TIMTextElem"] > 0
    people = json.loads(await shell.run(the_block("figure=senders")))
    assert people["value"] > 10
    assert "Asia/Shanghai" in await shell.run(the_block("/v1/apps"))
    assert "3.1.0" in await shell.run(the_block("openapi.json"))


async def the_first_callback(shell: Shell, folder: Path) -> None:
    """Follow docs/start.md: once the token is set, an OK needs the docs' signature."""
    await shell.run(the_block("openssl rand"), keeps="app token")
    url = f"http://127.0.0.1:{shell.ports['8080']}/?SdkAppid=1400000001"
    async with asyncio.timeout(180):
        while await asyncio.to_thread(post, url) != 403:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    answer = await shell.run(the_block("sha256sum"))
    while "the disk takes longer" in answer:  # on a busy machine
        answer = await shell.run(the_block("sha256sum"))
    assert answer == '{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'
    (folder / "fullchain.pem").write_text("fullchain.pem\n")
    await shell.run(the_block("INGRESS_TOKENS_FILE=/secrets"))
    gateway_file = folder / "deploy" / "haproxy" / "files" / "gateway.pem"
    # A terminal goes on after an error, unlike `shell`.
    terminal = await asyncio.create_subprocess_exec(
        "bash", cwd=folder, stdin=asyncio.subprocess.PIPE
    )
    await terminal.communicate(the_block("GATEWAY_CERTIFICATE=").encode())
    assert not gateway_file.exists()
    assert "GATEWAY" not in (folder / ".env").read_text()
    (folder / "privkey.pem").write_text("privkey.pem\n")
    await shell.run(the_block("GATEWAY_CERTIFICATE="))
    assert gateway_file.read_text() == "fullchain.pem\nprivkey.pem\n"
    settings = (folder / ".env").read_text()
    (folder / "fullchain.pem").write_text("renewed\n")
    await shell.run(the_block("files/gateway.pem\n"))
    assert gateway_file.read_text() == "renewed\nprivkey.pem\n"
    assert gateway_file.stat().st_mode & 0o777 == 0o600
    assert (folder / ".env").read_text() == settings
    assert "INGRESS_SDKAPPIDS=1400000001" in (folder / ".env").read_text().splitlines()
    compose = (ROOT / "docker-compose.yml").read_text()
    for line in (folder / ".env").read_text().splitlines():
        assert f"${{{line.split('=')[0]}:-" in compose


async def the_places_of_a_message(shell: Shell, postgres: EmbeddedPostgres) -> None:
    """Look for a message of `hookline simulate` as docs/find.md does."""
    with psycopg.connect(postgres.conninfo) as connection:
        query = b"select message_key from hookline.messages where message_key like '%\\_%' limit 1"
        ((shell.message_key,),) = connection.execute(query).fetchall()
    everywhere = await shell.run(the_block("--counters valkey:"))
    for place in (
        "topic ",
        "archive ",
        "hookline.messages",
        "hookline.receipts",
        "passed by the counters",
    ):
        assert place in everywhere
    assert "not searched:" not in everywhere
    assert shell.message_key in await shell.run(the_block("--no-kafka --body"))


def post(url: str) -> int:
    """Send a callback without a signature and return the status."""
    request = urllib.request.Request(url, data=b"{}")  # noqa: S310 - our own URL
    try:
        with urllib.request.urlopen(request, timeout=180) as response:  # noqa: S310 - our own URL
            return int(response.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def second_pipeline_block() -> str:
    """Return the exports of a second pipeline on the servers of the first one."""
    return the_block("create database mine")


def archive_block() -> str:
    """Return the block that starts the archive the first time."""
    (block,) = [b for b in blocks("sh") if b.startswith("python -m consumers archive")]
    return block


def audit_block() -> str:
    """Return the block that audits without a ledger."""
    (block,) = [b for b in blocks("sh") if b.startswith("hookline audit") and "--stats" in b]
    return block
