"""An error of the operating system names the setting that it is about."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

import consumers.__main__
import consumers.stats.__main__
import ingress.__main__
from ops.demo.embedded.child import free_port
from schemas import process
from schemas.os_errors import about_setting, listening

NO_KAFKA = "127.0.0.1:1"
CONSUMER = partial(consumers.__main__.run, ["counters"])
ARCHIVE = partial(consumers.__main__.run, ["archive"])
STATS = consumers.stats.__main__.main
INGRESS = ingress.__main__.main
# So few connections need no other limit of open files.
OF_INGRESS = {"INGRESS_SDKAPPIDS": "1400000001", "INGRESS_CONNECTIONS_MAX": "10"}
# Settings in the developer's shell, which must not reach the programs, begin with these.
PREFIXES = ("HOOKLINE_", "INGRESS_", "CONSUMER_", "STATS_", "COUNTERS_", "ARCHIVE_")
VALKEY = "valkey://127.0.0.1:1/0"
Program = Callable[[], None]
OutputOf = Callable[[Program, Mapping[str, str]], str]


@contextlib.contextmanager
def a_port_in_use() -> Iterator[int]:
    """Yield a port on which another server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def output_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[OutputOf]:
    """Return a function that runs a program, which cannot start, and returns its stderr."""
    # The programs run in this process: a start of its own would take each 0.3 s of CPU time.
    monkeypatch.setattr(process, "log_to_stderr", lambda _: None)
    monkeypatch.setattr("sys.argv", ["program"])
    level, thresholds = logging.getLogger().level, gc.get_threshold()

    def output_of(program: Program, env: Mapping[str, str]) -> str:
        own = {"HOOKLINE_BOOTSTRAP_SERVERS": NO_KAFKA, "HOOKLINE_LOG_FORMAT": "text", **env}
        with monkeypatch.context() as patched:
            for name in [each for each in os.environ if each.startswith(PREFIXES)]:
                patched.delenv(name)
            for name, value in own.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                program()
        assert ended.value.code == 1
        return capsys.readouterr().err

    yield output_of
    logging.getLogger().setLevel(level)
    gc.set_threshold(*thresholds)


@pytest.mark.parametrize(
    ("program", "setting", "env"),
    [
        (INGRESS, "INGRESS_PORT", {}),
        (INGRESS, "INGRESS_ADMIN_PORT", {}),
        (CONSUMER, "CONSUMER_ADMIN_PORT", {"COUNTERS_VALKEY": VALKEY}),
        (STATS, "STATS_PORT", {"STATS_VALKEY": VALKEY}),
    ],
)
def test_each_port_that_another_process_uses_is_named(
    program: Program, setting: str, env: dict[str, str], tmp_path: Path, output_of: OutputOf
) -> None:
    """With the address, and what to do."""
    with a_port_in_use() as port:
        host = f"{setting.removesuffix('PORT')}HOST"
        own = {setting: str(port), host: "127.0.0.1", **env}
        if program is INGRESS:
            free = {"INGRESS_PORT": str(free_port()), "INGRESS_ADMIN_PORT": str(free_port())}
            own = {**OF_INGRESS, "INGRESS_SPOOL_DIR": str(tmp_path), **free, **own}
        text = output_of(program, own)
    assert (
        f"{setting}: another process uses 127.0.0.1:{port}; stop it or choose another port" in text
    )


async def test_a_host_of_another_machine_is_named() -> None:
    """Its setting is the one beside the port's."""
    loop = asyncio.get_running_loop()
    with (
        pytest.raises(OSError, match=r"A_PORT: cannot listen on 192\.0\.2\.1:0: .*A_HOST"),
        listening("A_PORT", "192.0.2.1", 0),
    ):
        await loop.create_server(asyncio.Protocol, "192.0.2.1", 0)


def test_a_directory_that_is_a_file_is_named(tmp_path: Path, output_of: OutputOf) -> None:
    """The spool of an ingress, an archive; other paths are matched to their settings, too."""
    file = tmp_path / "f"
    file.write_bytes(b"")
    text = output_of(INGRESS, {**OF_INGRESS, "INGRESS_SPOOL_DIR": str(file)})
    assert f"INGRESS_SPOOL_DIR: {file} is a file, not a directory" in text
    text = output_of(ARCHIVE, {"ARCHIVE_URL": str(file)})
    assert f"ARCHIVE_URL: {file} is a file, not a directory" in text
    # The file is above the directory that is set.
    text = output_of(INGRESS, {**OF_INGRESS, "INGRESS_SPOOL_DIR": str(file / "a" / "b")})
    assert f"INGRESS_SPOOL_DIR: {file}" in text
    inside = FileNotFoundError(2, "No such file or directory", str(tmp_path / "a" / "b"))
    values = {"OTHER": "", "NUMBER": 1, "A_PATH_OF_URLS": "/", "A_DIR": str(tmp_path / "a")}
    assert about_setting(inside, values) == f"A_DIR: {tmp_path}/a/b: No such file or directory"
    assert about_setting(OSError("text"), values) == "text"
