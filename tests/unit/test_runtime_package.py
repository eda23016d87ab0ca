"""The wheel of hookline-runtime: which modules it has, and what differs from the source tree."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from runtime_package import (
    OURS,
    PACKAGE,
    CannotCopy,
    CannotRewrite,
    rewritten,
    runtime_modules,
)
from support.processes import runtime_copy
from support.processes.runtime_copy import ROOT, runtime_folder

PROJECT = ROOT / "deploy" / "runtime" / "pyproject.toml"


def copies() -> list[Path]:
    """Return every module of the package."""
    return sorted((runtime_folder() / PACKAGE).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Yield the top-level package of each import."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def test_a_compiled_module_does_not_change_the_state_of_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may compile a module at any time; a module that changes makes a new state."""
    monkeypatch.setattr(runtime_copy, "ROOT", tmp_path)
    module = tmp_path / "schemas" / "a.py"
    module.parent.mkdir()
    module.write_text("A = 1\n")
    state = runtime_copy._state()  # noqa: SLF001
    compiled = module.parent / "__pycache__" / "a.pyc.123"
    compiled.parent.mkdir()
    compiled.write_bytes(b"")
    assert runtime_copy._state() == state  # noqa: SLF001
    module.write_text("A = 10\n")
    assert runtime_copy._state() != state  # noqa: SLF001


def test_a_copy_differs_from_its_source_in_the_names_of_modules_alone() -> None:
    """With the old names put back, each copy has the bytes of the source."""
    sources = sorted(file.read_bytes() for file in runtime_modules(ROOT).values())
    names = (
        (b"from hookline_runtime.schemas", b"from schemas"),
        (b"from hookline_runtime", b"from consumers.runtime"),
    )
    with_old_names = []
    for copy in copies():
        content = copy.read_bytes()
        for new, old in names:
            content = content.replace(new, old)
        with_old_names.append(content)
    assert sorted(with_old_names) == sources
    assert len(sources) > 50


def test_the_package_imports_itself_and_the_packages_that_it_depends_on() -> None:
    """Cramjam is not imported by us: aiokafka needs it to read the topic."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    names = (name.partition(">=")[0] for name in project["dependencies"])
    required = {name.replace("-", "_") for name in names}
    seen = {package for copy in copies() for package in imported(copy)}
    assert seen.isdisjoint(OURS)
    assert seen - sys.stdlib_module_names == required - {"cramjam"} | {PACKAGE}


def test_the_package_needs_the_aiokafka_that_hookline_is_tested_with() -> None:
    """An older one has not the internals that the modules use."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    pins = (ROOT / "requirements" / "run.txt").read_text().split()
    (pinned,) = (pin.removeprefix("aiokafka==") for pin in pins if pin.startswith("aiokafka=="))
    assert f"aiokafka>={pinned}" in project["dependencies"]


@pytest.mark.parametrize(
    ("files", "imported_name", "missing"),
    [
        (["contract/__init__.py", "contract/tables.py"], "schemas.contract.tables", "__init__"),
        (["tables.py", "tables.txt"], "schemas.tables", "tables.txt"),
    ],
)
def test_a_module_that_needs_more_than_its_file_fails_the_build(
    tmp_path: Path, files: list[str], imported_name: str, missing: str
) -> None:
    """Data files, and packages in packages, would be left out of the wheel."""
    module = tmp_path / "consumers" / "runtime" / "__init__.py"
    for file in (module, *(tmp_path / "schemas" / name for name in ("__init__.py", *files))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    module.write_text(f"from {imported_name} import TYPES\n")
    with pytest.raises(CannotCopy, match=missing):
        runtime_modules(tmp_path)


def test_the_package_is_typed() -> None:
    """Without the marker, type checkers ignore its annotations (PEP 561)."""
    assert (runtime_folder() / PACKAGE / "py.typed").is_file()


def test_only_imports_are_rewritten(tmp_path: Path) -> None:
    """Texts and comments that look like imports stay, whatever is before them in the line."""
    file = tmp_path / "module.py"
    file.write_text('''"""from schemas.topics import X"""
from schemas.topics import (
    CALLBACKS,  # from schemas.topics import X
)
é = "from schemas import X"; from schemas import topics; from consumers.runtime import main
def late() -> None:
    from consumers.runtime.batch import Batch
schemas = consumers = CALLBACKS
''')
    assert (
        rewritten(file).decode()
        == '''"""from schemas.topics import X"""
from hookline_runtime.schemas.topics import (
    CALLBACKS,  # from schemas.topics import X
)
é = "from schemas import X"; from hookline_runtime.schemas import topics; \
from hookline_runtime import main
def late() -> None:
    from hookline_runtime.batch import Batch
schemas = consumers = CALLBACKS
'''
    )


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("import schemas.topics", "write: from schemas.topics import"),
        ("from .batch import Batch", "write the whole name of the module"),
        ("from  schemas.topics import X", "begin the line with: from schemas.topics import"),
        ("from ops.cli import X", "the wheel has no module ops.cli; do without it"),
        ("from consumers.sync import X", "the wheel has no module consumers.sync; do without it"),
    ],
)
def test_an_import_that_cannot_be_copied_is_named(
    tmp_path: Path, statement: str, remedy: str
) -> None:
    """The build fails and says what to write in its place."""
    file = tmp_path / "module.py"
    file.write_text(f"{statement}\n")
    with pytest.raises(CannotRewrite) as refused:
        rewritten(file)
    assert str(refused.value).startswith(f"{file}:1: this import cannot be copied to the wheel; ")
    assert str(refused.value).endswith(remedy)
