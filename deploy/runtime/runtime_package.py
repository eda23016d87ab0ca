"""
Build the wheel of hookline-runtime: the runtime of the consumers as one package.

The wheel has a copy of `consumers/runtime`, as `hookline_runtime`, and of the modules of `schemas`
that it imports, as `hookline_runtime.schemas`. In the copies, the names of modules in imports are
replaced, and nothing else. docs/decisions/0047-runtime-package.md has the reasons.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "hookline_runtime"
# Packages of the source tree, and their names in the wheel.
NEW_NAMES = {"consumers.runtime": PACKAGE, "schemas": f"{PACKAGE}.schemas"}
# The top-level packages of the source tree. A wheel that imports one of them would need a package
# that it does not have, or import a package of the same name in the project that installs it.
OURS = {"consumers", "ingress", "ops", "schemas"}


class OurImport(NamedTuple):
    """A statement `from MODULE import NAMES` whose module is in the source tree."""

    module: str
    names: tuple[str, ...]
    line: int
    column: int


class CannotRewrite(Exception):
    """An import cannot be copied to the wheel."""

    def __init__(self, file: Path, line: int, remedy: str) -> None:
        super().__init__(f"{file}:{line}: this import cannot be copied to the wheel; {remedy}")


class CannotCopy(Exception):
    """A module needs more than its own file, and the wheel would lack that."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: this module cannot be copied to the wheel; {reason}")


class OnlyWheels(Exception):
    """Something else than a wheel was to be built."""


class RuntimePackage(BuildHookInterface[Any]):
    """Hatchling's build hook: make the package in a temporary folder and put it into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Make the package before Hatchling collects the files of the wheel."""
        if self.target_name != "wheel":
            raise OnlyWheels(
                "a source distribution of hookline-runtime would lack its sources; build a wheel "
                "in a checkout of Hookline: pip wheel --no-deps ./deploy/runtime"
            )
        self._folder = TemporaryDirectory()
        package = Path(self._folder.name, PACKAGE)
        write_package(Path(self.root).parents[1], package)
        build_data["force_include"][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the temporary folder after the wheel is written."""
        self._folder.cleanup()


def write_package(root: Path, package: Path) -> None:
    """Write the package to the folder `package` from the source tree at `root`."""
    for module, file in runtime_modules(root).items():
        copy = package.parent.joinpath(*new_name(module, file).split("."))
        copy = copy / file.name if file.name == "__init__.py" else copy.with_suffix(".py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(rewritten(file))
    (package / "py.typed").touch()


def runtime_modules(root: Path) -> dict[str, Path]:
    """Return every module of `consumers.runtime`, and all modules of `schemas` that they need."""
    runtime = (root / "consumers" / "runtime").glob("*.py")
    waiting = {f"consumers.runtime.{file.stem}".removesuffix(".__init__") for file in runtime}
    waiting.add("schemas")
    found: dict[str, Path] = {}
    while waiting:
        module = waiting.pop()
        found[module] = module_file(root, module)
        require_complete_copy(root, module, found[module])
        for imported in our_imports(found[module]):
            names = {f"{imported.module}.{name}" for name in imported.names}
            submodules = {name for name in names if module_file(root, name).exists()}
            waiting |= (submodules | {imported.module}) - found.keys()
    return dict(sorted(found.items()))


def require_complete_copy(root: Path, module: str, file: Path) -> None:
    """
    Return if the copy of a module is complete without any other file.

    Raises:
        CannotCopy: the module is in a nested package, or there are data files in its folder.
    """
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    if package in OURS | NEW_NAMES.keys() and file.parent == root.joinpath(*package.split(".")):
        data = (path.name for path in file.parent.iterdir() if path.is_file())
        others = sorted(name for name in data if not name.endswith((".py", ".pyc", "py.typed")))
        if others:
            raise CannotCopy(file, f"the wheel would lack {', '.join(others)} of its folder")
    elif file.exists():
        raise CannotCopy(file, f"the wheel would lack the __init__ and the data files of {package}")


def module_file(root: Path, module: str) -> Path:
    """Return where a module of the source tree is, if it exists."""
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def rewritten(file: Path) -> bytes:
    """Return the content of `file` with the new names of our modules in its imports."""
    lines = file.read_bytes().splitlines(keepends=True)
    # From the end, because a new name moves the imports after it in its line.
    for imported in sorted(our_imports(file), key=lambda each: each[2:], reverse=True):
        line, old = lines[imported.line - 1], f"from {imported.module} ".encode()
        before, statement = line[: imported.column], line[imported.column :]
        if not statement.startswith(old):
            raise CannotRewrite(file, imported.line, f"begin the line with: {old.decode()}import")
        new = f"from {new_name(imported.module, file)} ".encode()
        lines[imported.line - 1] = before + new + statement.removeprefix(old)
    return b"".join(lines)


def our_imports(file: Path) -> Iterator[OurImport]:
    """
    Yield each import of our packages.

    Raises:
        CannotRewrite: an import has a form whose names would change with the name of the module.
    """
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise CannotRewrite(file, node.lineno, "write the whole name of the module")
            module = node.module or ""
            if module.split(".")[0] in OURS:
                names = tuple(alias.name for alias in node.names)
                yield OurImport(module, names, node.lineno, node.col_offset)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in OURS:
                    raise CannotRewrite(file, node.lineno, f"write: from {alias.name} import")


def new_name(module: str, file: Path) -> str:
    """Return the name in the wheel of a module that `file` imports."""
    for old, new in NEW_NAMES.items():
        if module == old or module.startswith(f"{old}."):
            return new + module.removeprefix(old)
    raise CannotRewrite(file, 1, f"the wheel has no module {module}; do without it")
