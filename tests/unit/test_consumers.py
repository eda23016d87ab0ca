"""`python -m consumers`: the list, the help, and what is wrong with the settings."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import consumers
from consumers.__main__ import CONSUMERS, named, run
from consumers.runtime.process import ConsumerSettings, explain, read_settings
from consumers.sync import SYNC
from schemas.settings import Faults, Shared, listed_one

EXAMPLE = Path(__file__).parents[2] / "examples" / "subscriber" / "subscriber.py"


def told(*arguments: str, code: int = 0) -> str:
    """Run an entry point of the product; return what it says where it belongs."""
    ran = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, timeout=50
    )
    assert ran.returncode == code, ran.stderr
    assert (ran.stderr if code == 0 else ran.stdout) == ""
    return ran.stdout if code == 0 else ran.stderr


def test_help_lists_every_consumer_with_what_it_does() -> None:
    """One line each."""
    lines = told("consumers", "--help").splitlines()
    for name, does in CONSUMERS.items():
        assert f"  {name:10}{does}" in lines


@pytest.mark.parametrize("name", CONSUMERS)
def test_the_name_in_the_list_is_the_consumers_own(name: str) -> None:
    """Argument, group and the prefix of its settings are one word."""
    assert named(name).name == name
    assert named(name).prefix == f"{name.upper()}_"


@pytest.mark.parametrize("name", CONSUMERS)
def test_help_on_a_consumer_lists_all_that_it_may_be_told(name: str) -> None:
    """Its own settings, those of every consumer, and those of every process."""
    text = explain(named(name))
    for settings, prefix in (
        (named(name).settings, named(name).prefix),
        (ConsumerSettings, "CONSUMER_"),
        (Shared, "HOOKLINE_"),
    ):
        assert f"\n{settings.__doc__}\n{listed_one(settings, prefix)}\n" in text


def test_help_of_one_consumer_and_of_the_statistics_ends_well() -> None:
    """Through the entry points."""
    assert "SYNC_POSTGRES, must be set" in told("consumers", "sync", "--help")
    assert "STATS_PORT=8083" in told("consumers.stats", "--help")


def test_a_name_that_is_none_is_told_with_those_that_are() -> None:
    """On stderr, with the exit code of a wrong command line; so is what follows a name."""
    assert "no consumer 'nobody'; usage: python -m consumers archive|sync|counters" in told(
        "consumers", "nobody", code=2
    )
    assert "SYNC_POSTGRES" in told("consumers", "sync", "now", code=2)
    assert "STATS_VALKEY" in told("consumers.stats", "now", code=2)


def test_only_the_consumer_that_runs_is_imported() -> None:
    """Others would take time and memory, and their libraries may not even be there."""
    script = """
import sys
from consumers.__main__ import run
try:
    run(["sync", "--help"])
except SystemExit:
    pass
for name in ("archive", "counters", "stats"):
    assert f"consumers.{name}" not in sys.modules, name
assert "consumers.sync" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=50, capture_output=True)


def test_another_consumer_is_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example as a file of the package, and its line in the list."""
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.setattr(consumers, "__path__", [*consumers.__path__, str(tmp_path)])
    monkeypatch.setitem(CONSUMERS, "subscriber", "callbacks by day, app and command, in SQLite")
    try:
        with pytest.raises(SystemExit):
            run(["subscriber", "--help"])
    finally:
        del sys.modules["consumers.subscriber"]
    assert "  SUBSCRIBER_FILE=days.db\n" in capsys.readouterr().out


def test_the_faults_of_all_three_prefixes_are_reported_at_once() -> None:
    """A person mends everything in one go."""
    env = {
        "HOOKLINE_LOG_LEVEL": "LOUD",
        "CONSUMER_REBUILD": "maybe",
        "CONSUMER_ADMIN_PROT": "1",
        "SYNC_POSTGRES": "nonsense",
        "ARCHIVE_NONSENSE": "is none of ours",
    }
    with pytest.raises(Faults) as raised:
        read_settings(SYNC, env)
    assert [fault.split(" ")[0] for fault in raised.value.args] == [
        "HOOKLINE_LOG_LEVEL",
        "CONSUMER_ADMIN_PROT",
        "CONSUMER_REBUILD",
        "SYNC_POSTGRES",
    ]
