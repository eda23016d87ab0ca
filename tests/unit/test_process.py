"""`run_process`: every end of a service has its message and its exit code."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from ops.cli import command

SERVICE = """
import gc
gc.disable()
import asyncio
from schemas.process import run_process
from schemas.settings import SettingsFaults, Settings

class Stopped(Exception):
    pass

async def run(raised):
    if raised:
        raise raised

def start(shared, kafka, own):
    {start}
    return run({raised})

from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class OwnSettings(Settings):
    \"\"\"OWN_*: a service of the tests.\"\"\"

    word: str = "word"

run_process("The service", "Runs.", {{"OWN_": OwnSettings}}, start, expected_exceptions=(Stopped,))
"""


def ended(*, raised: str = "None", start: str = "pass") -> tuple[int, str]:
    """Return the exit code and the stderr of a service; only errors are logged."""
    ran = subprocess.run(
        [sys.executable, "-c", SERVICE.format(raised=raised, start=start)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={"HOOKLINE_LOG_LEVEL": "ERROR", "HOOKLINE_LOG_FORMAT": "text"},
    )
    return ran.returncode, ran.stderr


def test_a_service_that_returns_ends_with_0() -> None:
    """This is the end after SIGTERM."""
    assert ended() == (0, "")


@pytest.mark.parametrize("where", ["start", "run"])
def test_faults_that_are_found_later_are_listed_like_those_of_the_settings(where: str) -> None:
    """They may be found before or after the event loop of the service begins."""
    fault = "SettingsFaults('OWN_WORD is taken', 'OWN_WORD is short')"
    code, text = ended(start=f"raise {fault}") if where == "start" else ended(raised=fault)
    assert code == 1
    assert text == "The service cannot start:\n  - OWN_WORD is taken\n  - OWN_WORD is short\n"


@pytest.mark.parametrize("kind", ["Stopped", "OSError"])
def test_an_expected_exception_ends_a_service_with_its_text(kind: str) -> None:
    """There is no traceback, and the exit code is 1."""
    code, text = ended(raised=f"{kind}('the file is gone')")
    assert (code, text) == (1, "The service stops.\nthe file is gone\n")


def test_a_bug_ends_a_service_with_a_traceback() -> None:
    """It must not look like an expected end."""
    code, text = ended(raised="KeyError('a bug')")
    assert code == 1
    assert "Traceback" in text
    assert "stops" not in text


def test_ctrl_c_before_the_service_runs_is_not_an_error() -> None:
    """No work has begun that could be lost."""
    assert ended(start="raise KeyboardInterrupt") == (0, "")


def test_a_service_that_has_disabled_collections_during_its_imports_collects_garbage() -> None:
    """No collection searches what was imported."""
    assert ended(start="assert gc.isenabled() and gc.get_freeze_count() > 10_000") == (0, "")


def test_a_command_collects_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collections are disabled only during its imports."""
    monkeypatch.setattr(sys, "argv", ["hookline", "spool", "ls", "--spool", str(tmp_path)])
    try:
        with pytest.raises(SystemExit):
            command()
        assert gc.isenabled()
    finally:
        gc.enable()
