"""The programs of examples/subscribers are short, and their packages are pinned."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUBSCRIBERS = ROOT / "examples" / "subscribers"
LINES_MAX = 40
PROGRAMS = {
    "python": "subscriber.py",
    "python_runtime": "subscriber.py",
    "java": "Subscriber.java",
    "typescript": "subscriber.ts",
    "kcat": "subscriber.sh",
}


def test_every_language_has_a_program() -> None:
    """A new one needs a row here, and one in tests/support/subscribers/program.py."""
    folders = {path.name for path in SUBSCRIBERS.iterdir() if path.is_dir()}
    assert folders == {*PROGRAMS, "go"}


@pytest.mark.parametrize(("language", "program"), PROGRAMS.items())
def test_a_program_has_forty_lines(language: str, program: str) -> None:
    """Blank lines and comments are among them."""
    assert len((SUBSCRIBERS / language / program).read_text().splitlines()) <= LINES_MAX


def test_the_program_in_go_has_forty_lines_beside_its_imports() -> None:
    """Go's formatter writes a line for each import, and blank lines; the README says so."""
    program = (SUBSCRIBERS / "go" / "main.go").read_text()
    without_imports = re.sub(r"(?ms)^import \(.*?^\)", "", program)
    assert len([line for line in without_imports.splitlines() if line.strip()]) <= LINES_MAX


def test_the_lists_of_packages_have_hashes_and_no_address() -> None:
    """Each package manager takes the packages from the registry that the machine uses."""
    lock = (SUBSCRIBERS / "typescript" / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)
    assert "://" not in lock
    jars = (SUBSCRIBERS / "java" / "clients.jars").read_text().splitlines()
    assert set(jars) <= set((ROOT / "ops/demo/embedded/kafka.jars").read_text().splitlines())
