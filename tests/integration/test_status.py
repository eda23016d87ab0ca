"""`hookline status` against real parts: each fault has its words, its JSON and its exit code."""

import asyncio
import contextlib
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from rich.console import Console
from support.kafka.access import plaintext
from support.kafka.broker import Broker, running_broker
from support.processes.blackbox import HOOKLINE
from support.processes.command import run_hookline
from support.processes.ingress import Connection, Ingress, post, until
from support.processes.pipeline_world import PipelineWorld

from ops.status.measure import Parts, measuring
from ops.status.report import Report
from ops.status.screen import screen

SPOOL_BYTES_MAX = 17 << 20
BODY_BYTES = 900_000
# Not a bound on the time of the command, which is 5 s on an idle machine.
HANGS_S = 180.0


class Status:
    """The command, with the addresses of a pipeline."""

    def __init__(self, world: PipelineWorld) -> None:
        self.world = world
        consumers = ",".join(f"{name}={url}" for name, url in world.consumer_urls)
        self.env = {
            "HOOKLINE_BOOTSTRAP_SERVERS": world.broker.address,
            "STATS_INGRESS": world.ingress_url,
            "STATS_CONSUMERS": consumers,
            "STATS_VALKEY": world.valkey.url,
            "SYNC_POSTGRES": world.postgres.conninfo,
            "ARCHIVE_URL": str(world.archive),
            "COLUMNS": "80",
        }
        self.parts = Parts(
            ingress=[world.ingress_url],
            consumers=world.consumer_urls,
            gateway=None,
            statistics=None,
            kafka=plaintext(world.broker.address),
            valkey=world.valkey.url,
            postgres=world.postgres.conninfo,
            archive=str(world.archive),
        )

    async def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Return the output and the exit code of the command."""
        return await asyncio.to_thread(
            run_hookline, "status", *options, env=os.environ | self.env, timeout_s=HANGS_S
        )

    async def until(
        self, exit_code: int, *, slowest_group: str | None = None, **states: str
    ) -> Report:
        """
        Return the report once these stages have these states, and all others are ok.

        `slowest_group` is waited for, too, if it is given.
        """
        now: dict[str, str] = {}
        printed: list[Report] = []

        def is_expected(report: Report) -> bool:
            now.update({stage.stage: stage.state for stage in report.stages})
            slowest = report.topic.slowest_group if report.topic else None
            is_slowest = slowest_group in {None, slowest}
            return now == dict.fromkeys(now, "ok") | states and is_slowest

        async def as_expected() -> bool:
            # What the command measures, without the CPU time of a new process.
            async with measuring(self.parts) as measurement:
                if not is_expected(await measurement.report()):
                    return False
            ended = await self.run("--json")
            printed.append(msgspec.json.decode(ended.stdout, type=Report))
            assert (ended.returncode, ended.stderr) == (printed[-1].exit_code, "")
            # On a busy machine a part may answer one of them in time and the other one too late.
            return is_expected(printed[-1])

        try:
            await until(as_expected, f"the state is {states}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but {now}") from None
        assert printed[-1].exit_code == exit_code
        return printed[-1]

    async def until_screen(self, *texts: str) -> None:
        """Return once the screen has these texts, with each sequence of spaces as one space."""
        screens: list[str] = []

        async def as_expected() -> bool:
            ended = await self.run()
            assert not ended.stderr
            assert max(map(len, ended.stdout.splitlines())) <= 80
            assert "\x1b" not in ended.stdout
            screens.append(" ".join(ended.stdout.split()))
            return all(text in screens[-1] for text in texts)

        try:
            await until(as_expected, f"the screen has {texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but {screens[-1]}") from None


def shown(report: Report) -> str:
    """Return the screen of a report, with each sequence of spaces and line feeds as one space."""
    written = io.StringIO()
    Console(file=written, width=80).print(screen(report))
    return " ".join(written.getvalue().split())


@pytest.mark.timeout(600)
async def test_the_command_names_each_fault_until_it_is_over(tmp_path: Path) -> None:
    """Well; PostgreSQL away; Kafka frozen while the spool fills; the brake; a killed process."""
    with running_broker(tmp_path / "kafka") as broker:
        await broker.make_topics()
        settings: Mapping[str, Mapping[str, str]] = {
            "archive": {"ARCHIVE_SEGMENT_AGE_S": "1"},
            "sync": {"CONSUMER_DEAD_LETTERS_MAX": "0"},
        }
        ingress = Ingress(
            tmp_path / "spools",
            broker.address,
            spool_bytes_max=SPOOL_BYTES_MAX,
            pending_bytes_max=SPOOL_BYTES_MAX,
        )
        world = PipelineWorld(tmp_path, broker, settings, ingress)
        with world.running():
            status = Status(world)
            await _well(status)
            await _postgres_away(status)
            await _kafka_frozen(status)
            await _brake(status, broker)
            await _killed(status)


def test_watch_refreshes_in_place_until_ctrl_c() -> None:
    """On a terminal of 80 columns and 24 lines; the last state stays, and the exit code is 130."""
    pid, terminal = pty.fork()
    if pid == 0:
        env = {"TERM": "xterm", "STATS_INGRESS": "http://127.0.0.1:1", "NO_COLOR": "1"}
        env["HOOKLINE_BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
        os.execve(HOOKLINE, ["hookline", "status", "--watch"], os.environ | env)  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written = b""
    while written.count(b"No ingress replica answers") < 2:
        assert select.select([terminal], [], [], HANGS_S)[0]
        written += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    # The terminal ends with an error when the process has ended.
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 65536):
            written += more
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    in_place, _, after = written.partition(b"\x1b[?1049l")
    assert in_place.startswith(b"\x1b[?1049h")
    assert b"a person must act: Receiving" in after
    assert b"Do: Start the ingress" in after
    assert b"\x1b[1;31m" not in written


@pytest.mark.parametrize("option", ["--json", "--watch"])
def test_watch_ends_with_the_last_state_when_its_reader_leaves(option: str) -> None:
    """Not with 1, which says that callbacks are missing."""
    env = {"HOOKLINE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "STATS_INGRESS": "http://127.0.0.1:1"}
    with subprocess.Popen(
        [HOOKLINE, "status", "--watch", option],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(HANGS_S) == 6
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_any_part_the_command_says_so_and_ends(options: list[str]) -> None:
    """With a line for each part, and no traceback."""
    env = {"HOOKLINE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "ARCHIVE_URL": "/nowhere"}
    env |= {"STATS_VALKEY": "valkey://127.0.0.1:1/0", "SYNC_POSTGRES": "host=127.0.0.1 port=1"}
    env |= {"STATS_INGRESS": "http://127.0.0.1:1", "OPS_STATS": "http://127.0.0.1:1"}
    env |= {"STATS_GATEWAY": "http://127.0.0.1:1", "STATS_CONSUMERS": "sync=http://127.0.0.1:1"}
    ended = subprocess.run(
        [HOOKLINE, "status", *options],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (6, "")
    assert ended.stdout.count("No such file or directory") == 1
    assert "No ingress replica answers" in " ".join(ended.stdout.split())
    assert "The gateway does not answer" in " ".join(ended.stdout.split())


async def _well(status: Status) -> None:
    await status.world.ingress.until_ready()
    await _send(status.world, 3, size=100)
    report = await status.until(0)
    (replica,) = report.ingress
    assert replica.is_ready
    assert replica.reaches_kafka
    assert replica.disk_free_bytes
    assert report.topic is not None
    assert (report.topic.partitions, report.topic.retention_s) == (6, 7 * 86400)
    assert [one.name for one in report.consumers] == ["archive", "sync", "counters"]
    assert all(one.members == 1 for one in report.consumers)
    assert report.dead_letters is not None
    assert report.dead_letters.total == 0
    archive, postgres, valkey = report.stores
    assert archive.size_bytes
    assert archive.bytes_per_day == archive.size_bytes
    assert postgres.size_bytes
    assert valkey.size_bytes
    await status.until_screen("UTC healthy", "Dead letters ok none")


async def _postgres_away(status: Status) -> None:
    status.world.postgres.kill()
    report = await status.until(6, database="wrong")
    assert report.stores[1].not_known_because
    text = shown(report)
    assert "UTC a person must act: Database" in text
    assert "Database: PostgreSQL does not answer or refuses everything" in text
    assert "Do: Check the server; the rest recovers by itself. docs/runbook.md" in text
    status.world.postgres.start()


async def _kafka_frozen(status: Status) -> None:
    with status.world.broker.frozen():
        await _send(status.world, 11, size=BODY_BYTES)
        unknown = dict.fromkeys(("archive", "database", "counts", "dead_letters"), "unknown")
        report = await status.until(6, on_disk="warning", kafka="wrong", **unknown)
        assert report.topic is not None
        assert not report.topic.answers
        assert report.ingress[0].spool_rows == 11
        text = shown(report)
        assert "UTC a person must act: Kafka" in text
        assert "Kafka cannot be used (since" in text
        assert "11 callbacks wait in the spools" in text
    await status.until(0)


async def _brake(status: Status, broker: Broker) -> None:
    """A record that is not a callback: sync may reject none, counters writes a dead letter."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    await producer.send_and_wait("tim.callbacks.v1", b"not a callback", partition=0)
    await producer.stop()
    # The archive has the same record for the age of a batch.
    report = await status.until(
        6, slowest_group="sync", database="wrong", dead_letters="warning", counts="warning"
    )
    sync = report.consumers[1]
    assert "was rejected" in (sync.processes[0].stopped_because or "")
    # The process has left its group; Kafka says what it has not read.
    assert sync.unread_lost_in_s is not None
    assert 6 * 86400 < sync.unread_lost_in_s <= 7 * 86400
    assert report.topic is not None
    assert report.topic.slowest_group == "sync"
    assert report.dead_letters is not None
    (counted,) = report.dead_letters.counts
    assert (counted.component, counted.count) == ("counters", 1)
    text = shown(report)
    assert "Database: The consumer sync has stopped" in text
    assert "sync would lose unread records in 6 d" in text
    assert "Dead letters warning 1 wait: counters 1; 1 of the last 24 h" in text


async def _killed(status: Status) -> None:
    status.world.ingress.kill()
    status.world.consumers["archive"].kill()
    report = await status.until(
        6,
        receiving="wrong",
        on_disk="unknown",
        kafka="unknown",
        archive="wrong",
        database="wrong",
        counts="warning",
        dead_letters="warning",
    )
    assert not report.ingress[0].answers
    text = shown(report)
    assert "Receiving: No ingress replica answers" in text
    assert "No process of the consumer archive answers" in text


async def _send(world: PipelineWorld, count: int, *, size: int) -> None:
    """Send callbacks whose bodies have at least `size` bytes; each is answered OK."""
    connection = await Connection.open(world.ingress.port)
    for number in range(count):
        body = {
            "CallbackCommand": "C2C.CallbackAfterSendMsg",
            "From_Account": "a",
            "To_Account": f"b{number}",
            "MsgKey": str(number),
            "MsgBody": [],
            "CloudCustomData": "x" * size,
        }
        connection.send(post(orjson.dumps(body)))
        assert (await connection.answer()).status == 200
    connection.close()
