"""The Makefile refuses a wrong command line, and its setup prints nothing like an error."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dry_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what make would run; nothing is run."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--dry-run", *arguments],  # noqa: S607 - the make of this machine
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("option", ["--keep", "-k", "-sk"])
def test_an_option_of_the_demo_that_make_would_take_for_its_own_is_refused(option: str) -> None:
    """Make would run the demo without it; other targets have the option of make."""
    done = dry_run("demo", option)
    assert done.returncode == 2
    assert "for the demo write: make demo DEMO=--keep" in done.stderr
    assert dry_run("check", option).returncode == 0


@pytest.mark.parametrize("argument", ["DEMO=--keep", "DEMO=--seconds 60 --keep", "--silent"])
def test_the_demo_gets_its_options(argument: str) -> None:
    """An option of make that has another k does not belong to the demo."""
    done = dry_run("demo", argument)
    assert done.returncode == 0, done.stderr
    assert f"/hookline demo {argument.partition('=')[2]}".rstrip() in done.stdout


def test_the_environment_may_be_any_folder(tmp_path: Path) -> None:
    """A relative one is in the clone."""
    for venv in (tmp_path / "venv", Path(".venv-other")):
        lines = dry_run("setup", f"VENV={venv}").stdout.splitlines()
        (installs, _) = [line for line in lines if line.startswith("VIRTUAL_ENV=")]
        assert installs.startswith(f"VIRTUAL_ENV={ROOT / venv} ")


def test_the_setup_does_not_print_its_commands() -> None:
    """Some of them have the texts of errors."""
    recipe = (ROOT / "Makefile").read_text().partition("$(VENV)/ready: ")[2].partition("\n\n")[0]
    lines = recipe.splitlines()[1:]
    assert len(lines) > 5
    assert all(line.startswith("\t@") for line in lines)
