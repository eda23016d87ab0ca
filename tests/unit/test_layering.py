"""Imports between packages: ingress and consumers import only schemas, ops and bench all."""

import ast
from pathlib import Path

from support.parsed import of_each, parsed

ROOT = Path(__file__).parents[2]
MAY_SEE = {
    "schemas": {"schemas"},
    "ingress": {"schemas", "ingress"},
    "consumers": {"schemas", "consumers"},
    "ops": {"schemas", "ingress", "consumers", "ops"},
    "bench": {"schemas", "ingress", "consumers", "ops", "bench"},
    # Other teams' code, which imports none of them but the wheel of deploy/runtime.
    "examples": set(),
    # A build imports nothing that it would have to install first.
    "deploy": set(),
    # The benchmarks' peers show code that is written without the product.
    "bench/peers": {"bench"},
    "bench/ingress/peers": {"bench"},
    "bench/archive/peers": {"bench"},
    "bench/counters/peers": {"bench"},
    "bench/sync/peers": {"bench"},
}
PACKAGES = {*MAY_SEE, "tests"}


def modules(path: Path) -> set[str]:
    """Return the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def modules_in(folder: str) -> dict[Path, set[str]]:
    """Return the modules that each file in a folder imports."""
    return of_each(modules, (ROOT / folder).rglob("*.py"))


def packages(modules: set[str]) -> set[str]:
    """Return the project's packages among the first names of modules."""
    return {name.split(".")[0] for name in modules} & PACKAGES


def test_no_package_sees_more_than_it_may() -> None:
    """Ingress and consumers never import each other, and no package imports tests."""
    for package, allowed in MAY_SEE.items():
        files = modules_in(package)
        assert files
        for path, imported in files.items():
            assert packages(imported) <= allowed, path


def test_examples_import_only_the_exported_names_of_the_runtime() -> None:
    """They use these, or the runtime's contract."""
    for path, imported in modules_in("examples").items():
        seen = {name for name in imported if name.split(".")[0] == "hookline_runtime"}
        assert seen <= {"hookline_runtime", "hookline_runtime.handler_checks"}, path


def test_the_runtime_imports_no_consumer() -> None:
    """A project of another team can use it without the libraries of our consumers."""
    for path, imported in modules_in("consumers/runtime").items():
        seen = {name for name in imported if name.split(".")[0] == "consumers"}
        assert all(name.startswith("consumers.runtime") for name in seen), path


def test_black_box_tests_import_no_product_package() -> None:
    """They control processes and read only what any user can read."""
    for folder in ("e2e", "docker"):
        for path, imported in modules_in(f"tests/{folder}").items():
            assert packages(imported) == set(), path


def test_only_one_module_reads_each_processes_environment() -> None:
    """Settings are read once, when the process starts, and passed on as values."""
    readers = {
        str(path.relative_to(ROOT))
        for package in ("schemas", "ingress", "consumers")
        for path in (ROOT / package).rglob("*.py")
        if "os.environ" in path.read_text()
    }
    assert readers == {"schemas/process.py"}
