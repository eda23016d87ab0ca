"""`python -m consumers`: its list of consumers, its help, and the faults of settings."""

import runpy
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import consumers
from consumers.__main__ import CONSUMERS, import_consumer, run
from consumers.runtime.process import ConsumerSettings
from consumers.sync.consumer import SYNC
from schemas.settings import SettingsFaults, SharedSettings, read_settings, settings_help

EXAMPLE = Path(__file__).parents[2] / "examples" / "subscriber" / "subscriber.py"


Output = Callable[..., str]


@pytest.fixture
def output_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Output:
    """Return a function that runs a module as `python -m MODULE` does, but in this process."""

    def output_of(module: str, *arguments: str, code: int = 0) -> str:
        """Return its stdout, or its stderr if `code` is not 0; the other one must be empty."""
        monkeypatch.setattr(sys, "argv", ["", *arguments])
        monkeypatch.setenv("HOOKLINE_LOG_FORMAT", "text")
        ended: object = 0
        try:
            with warnings.catch_warnings():
                # This process has imported the module already.
                warnings.simplefilter("ignore", RuntimeWarning)
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            ended = end.code or 0
        stdout, stderr = capsys.readouterr()
        if isinstance(ended, str):  # Python prints an exit code that is a text, and exits with 1.
            ended, stderr = 1, f"{stderr}{ended}\n"
        assert ended == code, stderr
        assert (stderr if code == 0 else stdout) == ""
        return stdout if code == 0 else stderr

    return output_of


def test_help_lists_every_consumer_with_what_it_does(output_of: Output) -> None:
    """Each consumer has one line."""
    lines = output_of("consumers", "--help").splitlines()
    for name, does in CONSUMERS.items():
        assert f"  {name:10}{does}" in lines


@pytest.mark.parametrize("name", CONSUMERS)
def test_the_name_in_the_list_is_the_consumers_own(name: str) -> None:
    """Argument, group and the prefix of its settings are one word."""
    assert import_consumer(name).name == name
    assert import_consumer(name).prefix == f"{name.upper()}_"


@pytest.mark.parametrize("name", CONSUMERS)
def test_help_of_a_consumer_lists_all_its_settings(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lists the consumer's own settings and those that all consumers and all processes share."""
    with pytest.raises(SystemExit) as end:
        run([name, "--help"])
    assert end.value.code == 0
    own = {import_consumer(name).prefix: import_consumer(name).settings}
    text = settings_help({**own, "CONSUMER_": ConsumerSettings, "HOOKLINE_": SharedSettings})
    assert f"\n\n{text}\n\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("service", "line"),
    [
        (["ingress"], "  INGRESS_SPOOL_DIR (must be set)"),
        (["consumers", "sync"], "  SYNC_POSTGRES (must be set)"),
        (["consumers.stats"], "  STATS_PORT=8083"),
    ],
)
def test_every_service_has_the_same_command_line(
    output_of: Output, service: list[str], line: str
) -> None:
    """`--help` lists the settings on stdout; any other argument is an error with exit code 2."""
    assert line in output_of(*service, "--help").splitlines()
    assert line in output_of(*service, "-h").splitlines()
    assert "unknown argument 'now'" in output_of(*service, "now", code=2)


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        (["ingress"], "INGRESS_SPOOL_DIR is not set"),
        (["consumers", "sync"], "SYNC_POSTGRES is not set"),
        (["consumers.stats"], "STATS_VALKEY is not set"),
    ],
)
def test_a_service_lists_the_faults_of_its_settings_and_ends_with_1(
    output_of: Output, service: list[str], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lists the faults of its own prefix and of the shared one."""
    monkeypatch.setenv("HOOKLINE_LOG_LEVEL", "LOUD")
    first, *faults = output_of(*service, code=1).splitlines()
    assert first.endswith(" cannot start:")
    assert faults[0].startswith("  - HOOKLINE_LOG_LEVEL must be DEBUG")
    assert faults[1].startswith(f"  - {fault}")


def test_a_port_that_is_in_use_ends_a_service_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The output names the setting and the address, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("STATS_VALKEY", "valkey://127.0.0.1:1/0")
        monkeypatch.setenv("STATS_PORT", str(server.getsockname()[1]))
        monkeypatch.setenv("HOOKLINE_LOG_LEVEL", "ERROR")
        monkeypatch.setenv("HOOKLINE_LOG_FORMAT", "text")
        command = [sys.executable, "-m", "consumers.stats"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert (ran.returncode, ran.stdout) == (1, "")
    first, error = ran.stderr.splitlines()
    assert first == "The statistics API stops."
    assert "STATS_PORT: another process uses" in error


def test_an_unknown_name_of_a_consumer_is_an_error_that_lists_the_names(output_of: Output) -> None:
    """It goes to stderr, with the exit code of a wrong command line."""
    error = output_of("consumers", "nobody", code=2)
    assert "unknown consumer 'nobody'" in error
    assert "usage: python -m consumers archive|sync|counters" in error


def test_only_the_consumer_that_runs_is_imported() -> None:
    """Others would cost time and memory, and their libraries may not be installed."""
    command = [sys.executable, "-X", "importtime", "-m", "consumers", "sync", "--help"]
    ran = subprocess.run(command, check=True, timeout=200, capture_output=True, text=True)
    assert "SYNC_POSTGRES" in ran.stdout
    imported = [line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()]
    packages = {name.split(".")[1] for name in imported if name.startswith("consumers.")}
    assert packages == {"sync", "runtime"}


def test_another_consumer_is_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test adds the example to the package as a file, and a line to the list."""
    example = EXAMPLE.read_text().replace("from hookline_runtime", "from consumers.runtime")
    (tmp_path / EXAMPLE.name).write_text(example)
    monkeypatch.setattr(consumers, "__path__", [*consumers.__path__, str(tmp_path)])
    monkeypatch.setitem(CONSUMERS, "subscriber", "callbacks by day, app and command, in SQLite")
    try:
        with pytest.raises(SystemExit):
            run(["subscriber", "--help"])
    finally:
        del sys.modules["consumers.subscriber"]
    assert "  SUBSCRIBER_FILE (must be set)\n" in capsys.readouterr().out


def test_the_faults_of_all_three_prefixes_are_reported_together() -> None:
    """So an operator can fix all of them before the next start."""
    env = {
        "HOOKLINE_LOG_LEVEL": "LOUD",
        "CONSUMER_REBUILD": "maybe",
        "CONSUMER_ADMIN_PROT": "1",
        "SYNC_POSTGRES": "nonsense",
        "ARCHIVE_NONSENSE": "is none of ours",
    }
    with pytest.raises(SettingsFaults) as raised:
        read_settings(
            {"HOOKLINE_": SharedSettings, "SYNC_": SYNC.settings, "CONSUMER_": ConsumerSettings},
            env,
        )
    named_by = ["HOOKLINE_LOG_LEVEL", "SYNC_POSTGRES", "CONSUMER_ADMIN_PROT", "CONSUMER_REBUILD"]
    assert len(raised.value.args) == len(named_by)
    assert all(name in fault for name, fault in zip(named_by, raised.value.args, strict=True))
