"""Docs, docstrings and comments name only files, classes and names that exist."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from support.parsed import of_each, parsed

ROOT = Path(__file__).parents[2]
PRODUCT = ("schemas/", "ingress/", "consumers/", "ops/")
# Files that the reader makes.
MADE_BY_READERS = {"deploy/secrets/tokens.toml", "deploy/haproxy/files/gateway.pem"}
# Of librdkafka and of Quix Streams.
NAMES_OF_OTHERS = {"consistent", "group_by"}
PLACEHOLDER = re.compile(r"(?<![A-Za-z])(?:NAME|NUMBER|VERSION)(?![a-z])")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Text(NamedTuple):
    """A part of a file that a reader reads, and where it begins."""

    place: str
    text: str


@cache
def files() -> list[str]:
    """Return all files of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [file for file in listed.stdout.splitlines() if (ROOT / file).is_file()]


class ClassNames(NamedTuple):
    """The names of a class, of its bases, and of what it defines or uses."""

    name: str
    bases: set[str]
    inside: set[str]


class Code(NamedTuple):
    """A Python file: its classes and imports, its docstrings and comments, and all other words."""

    classes: list[ClassNames]
    imported: set[str]
    texts: list[Text]
    words: set[str]


def code(tops: tuple[str, ...] = ()) -> list[Code]:
    """Return all Python files, or those in the folders `tops`."""
    return [read for file, read in code_of_files().items() if file.startswith(tops or "")]


@cache
def code_of_files() -> dict[str, Code]:
    """Return all Python files."""
    paths = (ROOT / file for file in files() if file.endswith(".py"))
    return {str(path.relative_to(ROOT)): code for path, code in of_each(read, paths).items()}


def read(path: Path) -> Code:
    """Read a Python file."""
    found = Code([], set(), [], set())
    file = path.relative_to(ROOT)
    lines = path.read_text().splitlines()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef):
            found.classes.append(names_of(node))
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.imported.update(alias.asname or alias.name for alias in node.names)
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            documentation = node.body[0]
            begin, end = documentation.lineno - 1, documentation.end_lineno or 0
            found.texts.append(Text(f"{file}:{begin + 1}", "\n".join(lines[begin:end])))
            lines[begin:end] = [""] * (end - begin)
    for number, line in enumerate(lines, 1):
        statement, mark, comment = f"  {line}".partition("  # ")
        if mark or line.lstrip().startswith("#"):
            found.texts.append(Text(f"{file}:{number}", comment or line))
        if not line.lstrip().startswith("#"):
            found.words.update(re.findall(r"\w+", statement))
    return found


def names_of(node: ast.ClassDef) -> ClassNames:
    """Return names alone: a syntax tree that is kept slows each later garbage collection down."""
    inside: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            inside.add(each.name)
        elif isinstance(each, ast.Name):
            inside.add(each.id)
        elif isinstance(each, ast.Attribute):
            inside.add(each.attr)
    return ClassNames(
        node.name, {ast.unparse(base).partition("[")[0] for base in node.bases}, inside
    )


def texts_of_code() -> list[Text]:
    """Return the docstrings and comments of all Python files."""
    return [text for each in code() for text in each.texts]


def texts_of_docs() -> Iterator[Text]:
    """Yield the lines of all pages."""
    for file in files():
        if file.endswith(".md"):
            lines = (ROOT / file).read_text().splitlines()
            yield from (Text(f"{file}:{number}", line) for number, line in enumerate(lines, 1))


def test_every_path_in_docs_docstrings_and_comments_exists() -> None:
    """A path begins with one of the top folders, or is the name of a program's file alone."""
    paths = {str(parent) for file in files() for parent in (Path(file), *Path(file).parents)}
    names = {Path(file).name for file in files()}
    tops = "|".join(re.escape(path) for path in paths if "/" not in path and path != ".")
    path_named = re.compile(rf"(?<![\w/.:-])((?:{tops})/[\w./-]*\w)")
    name_named = re.compile(r"(?<![\w/.*-])(\w+\.(?:py|lua|sql|sh))\b")
    stale = [
        f"{place}: {named}"
        for place, text in (*texts_of_code(), *texts_of_docs())
        for named, known in (
            *((each, paths) for each in path_named.findall(text)),
            *((each, names) for each in name_named.findall(text)),
        )
        if named not in known | MADE_BY_READERS and not PLACEHOLDER.search(named)
    ]
    assert stale == []


@pytest.mark.parametrize("tops", [PRODUCT, ()], ids=["product", "all"])
def test_every_attribute_of_a_class_that_a_docstring_names_exists(tops: tuple[str, ...]) -> None:
    """As in "see Spool.rows_after"; the product does not name classes of the tests."""
    bases: dict[str, set[str]] = {}
    names: dict[str, set[str]] = {}
    for name, its_bases, inside in (names for each in code(tops) for names in each.classes):
        bases.setdefault(name, set()).update(its_bases)
        names.setdefault(name, set()).update(inside)
    imported = set().union(*(each.imported for each in code(tops)))

    def has(name: str, attribute: str) -> bool:
        if name not in names:
            return name in imported
        return attribute in names[name] or any(has(base, attribute) for base in bases[name])

    named = re.compile(r"(?<![\w./])([A-Z][a-z]\w*)\.([a-z_]\w+)\b(?![./]\w)")
    stale = [
        f"{place}: {name}.{attribute}"
        for place, text in (text for each in code(tops) for text in each.texts)
        for name, attribute in named.findall(text)
        if not has(name, attribute)
    ]
    assert stale == []


def names_of_code() -> set[str]:
    """Return every name in the code, and every word in its texts and in files of other kinds."""
    known = set().union(*(each.words for each in code()))
    for file in files():
        if file.endswith((".lua", ".sql", ".js", ".yml", ".toml", ".cfg", ".json")):
            known |= set(re.findall(r"\w+", (ROOT / file).read_text()))
    return known


def test_every_name_that_a_docstring_or_a_comment_quotes_is_in_the_code() -> None:
    """Such a name is between backticks; of a dotted name, the last part is looked for."""
    known = names_of_code() | NAMES_OF_OTHERS
    quoted = re.compile(r"`([A-Za-z_][\w.]*)(?:\(\))?`")
    stale = [
        f"{place}: {name}"
        for place, text in texts_of_code()
        for name in quoted.findall(text)
        if name.rpartition(".")[2] not in known
    ]
    assert stale == []
