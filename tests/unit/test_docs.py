"""The docs agree with the code: settings, answers, metrics, error texts, links and file names."""

import ast
import fnmatch
import re
import tomllib
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.parsed import of_each, parsed, product_files

from consumers.stats.telemetry import STATS_METRICS
from ingress.http.answers import ANSWERS
from ops import configuration
from schemas.commands import COMMANDS
from schemas.telemetry import (
    ARCHIVE_METRICS,
    CONSUMER_METRICS,
    INGRESS_METRICS,
    WEBHOOK_METRICS,
)

ROOT = Path(__file__).parents[2]
REFERENCE = "".join(
    (ROOT / "docs" / f"{page}.md").read_text() for page in ("operations", "receiving", "monitoring")
)
EXAMPLE = ROOT / "examples" / "subscriber"
KEYED = ROOT / "examples" / "keyed-store"
RECEIVER = ROOT / "examples" / "webhook-receiver"
SUBSCRIBERS = ROOT / "examples" / "subscribers"
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *(folder / "README.md" for folder in (ROOT / "bench", EXAMPLE, KEYED, RECEIVER, SUBSCRIBERS)),
    *(ROOT / "docs").rglob("*.md"),
)
PACKAGES = ("schemas", "ingress", "consumers", "ops", "bench")


def rows(first_cell: str) -> list[list[str]]:
    """Return the cells of the table rows whose first cell matches."""
    rows = []
    for line in REFERENCE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(first_cell, cells[0]):
            rows.append(cells)
    return rows


def test_the_configuration_reference_is_generated_from_the_settings() -> None:
    """If this fails, run `make docs-configuration`."""
    assert (ROOT / "docs" / "configuration.md").read_text() == configuration.page()


def test_the_table_of_answers_equals_the_answers_in_the_code() -> None:
    """Each row has the name, the status, the ErrorInfo, and what happened to the callback."""
    names = "|".join(answer.name for answer in ANSWERS)
    documented = {tuple(cells) for cells in rows(f"`({names})`")}
    assert documented == {
        (f"`{a.name}`", str(a.status), a.sent_text, a.documentation) for a in ANSWERS
    }


@pytest.mark.parametrize(
    ("registry", "prefix"),
    [
        (INGRESS_METRICS, "ingress"),
        (CONSUMER_METRICS, "consumer"),
        (ARCHIVE_METRICS, "archive"),
        (WEBHOOK_METRICS, "webhook"),
        (STATS_METRICS, "stats"),
    ],
)
def test_every_metric_is_documented_with_its_help(registry: CollectorRegistry, prefix: str) -> None:
    """The documented name is the one in the output of /metrics."""
    documented = {
        cells[0].strip("`"): (cells[1].split(",")[0], cells[2])
        for cells in rows(f"`{prefix}_[a-z_]+`")
    }
    real = {
        metric.name + ("_total" if metric.type == "counter" else ""): (
            metric.type,
            metric.documentation,
        )
        for metric in registry.collect()
    }
    assert documented == real


def anchors(page: Path) -> set[str]:
    """Return the names by which links find the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_the_docs_has_a_target() -> None:
    """Relative links lead to a file, and those with an anchor to a heading in it."""
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^):]*))?\)", page.read_text()):
            linked_page = page.parent / target if target else page
            assert linked_page.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(linked_page), f"{page}: {target}#{anchor}"


def test_the_table_of_commands_has_every_command_that_the_docs_or_the_migrations_name() -> None:
    """A command without a row has no fields in the contract for programs."""
    families = "|".join({command.partition(".")[0] for command in COMMANDS})
    for page in (*PAGES, *(ROOT / "consumers" / "sync" / "migrations").glob("*.sql")):
        named = set(re.findall(rf"\b(?:{families})\.(?:Callback|On|State)\w+", page.read_text()))
        assert named <= set(COMMANDS), page


def texts_of(path: Path) -> str:
    """Return every text in a Python file, an f-string as its fixed parts."""
    texts = "\n".join(
        node.value
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    # Half of a surrogate pair cannot be kept.
    return texts.encode(errors="replace").decode()


def texts_of_the_code() -> str:
    """Return every text in the product."""
    return "\n".join(of_each(texts_of, product_files()).values())


def test_every_error_text_that_the_runbook_explains_is_in_the_code() -> None:
    """So an operator who searches the page for an error finds it."""
    runbook = " ".join((ROOT / "docs" / "runbook.md").read_text().split())
    quoted = re.findall(r'"([^"`$]+)"', runbook)
    assert len(quoted) > 30
    code = texts_of_the_code()
    for text in quoted:
        assert is_in(code, text), text


def is_in(code: str, text: str) -> bool:
    """Return whether each part of `text` is in `code`; "…" stands for a value."""
    for words in map(str.split, text.split("…")):
        # Some texts are put together from two.
        halves = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(len(words) + 1)]
        if not any(first in code and second in code for first, second in halves):
            return False
    return True


def test_every_error_text_of_the_runtime_that_subscribers_look_up_is_in_the_code() -> None:
    """The other rows of the table have texts of kcat, Python, pytest and the shell."""
    page = (ROOT / "docs" / "subscribe.md").read_text()
    cells = re.findall(r"^\| ([^|]+) \|", page.partition("## If it does not work")[2], re.MULTILINE)
    ours = [
        cell for cell in cells if not re.match("you see|---|`(kcat|python|pytest|./hookline)", cell)
    ]
    quoted = [text for cell in ours for text in re.findall("`([^`/][^`]*)`", cell)]
    assert len(quoted) == len(ours) > 8
    code = texts_of_the_code()
    for text in quoted:
        assert is_in(code, re.sub("^[A-Z_]+:? ", "", text)), text


def test_every_file_that_the_docs_name_is_there() -> None:
    """A file that is renamed must be renamed in the docs, too."""
    for page in PAGES:
        for file in re.findall(
            r"`((?:ingress|consumers|schemas|ops|bench|examples|tests)/[\w/]+\.(?:py|sql|lua))`",
            page.read_text(),
        ):
            assert (ROOT / file).exists(), f"{page}: {file}"


def test_every_product_file_is_on_the_map() -> None:
    """A reader finds each file in docs/map.md."""
    file_map = (ROOT / "docs" / "map.md").read_text()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            mapped = name in file_map or f"{path.parent.relative_to(ROOT)}/`" in file_map
            assert mapped or path.name == "__init__.py", name


def test_the_list_of_decisions_has_every_record_with_its_title() -> None:
    """The list is in order and has no other entries."""
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(
        r"^\| \[(\d{4})\]\((.*)\) \| (.*) \|$", (folder / "README.md").read_text(), re.MULTILINE
    )
    records = [
        (file.name[:4], file.name, file.read_text().splitlines()[0].removeprefix("# ")[6:])
        for file in sorted(folder.glob("0*.md"))
    ]
    assert listed == records


def test_the_example_is_one_short_file_that_the_docs_show_whole() -> None:
    """docs/consumers.md shows the example and its test exactly as other tests run them."""
    consumer = (EXAMPLE / "subscriber.py").read_text()
    lines = consumer.count("\n")
    assert lines < 40
    assert f"{lines} lines" in (EXAMPLE / "README.md").read_text()
    page = (ROOT / "docs" / "consumers.md").read_text()
    shown = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert shown == [consumer, (EXAMPLE / "test_subscriber.py").read_text()]


def test_the_pages_say_how_long_each_example_is() -> None:
    """Neither has 80 lines."""
    stores = (ROOT / "docs" / "stores.md").read_text()
    for program in (EXAMPLE / "subscriber.py", KEYED / "keyed_store.py"):
        lines = program.read_text().count("\n")
        assert lines < 80
        name = program.parent.name
        assert f"[{name}](../examples/{name}/README.md) | {lines} |" in stores
        assert f"{lines} lines" in program.with_name("README.md").read_text()


def test_the_examples_requirements_are_names_alone() -> None:
    """They name no versions and no index: the reader chooses these."""
    for folder in (EXAMPLE, KEYED, SUBSCRIBERS / "python", SUBSCRIBERS / "python_runtime"):
        for line in (folder / "requirements.txt").read_text().splitlines():
            assert re.fullmatch(r"[a-z-]+", line)


def test_every_package_of_the_distribution_says_that_it_is_typed() -> None:
    """Without the marker, type checkers of other projects ignore its annotations (PEP 561)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (ROOT / package / "py.typed").is_file(), package


def test_the_build_of_the_image_sees_all_that_it_copies() -> None:
    """.dockerignore leaves out all that it does not name; a build would fail."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line.removeprefix("!") for line in ignore if line.startswith("!")]
    copies = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    sources = [source for copy in copies for source in copy.split()]
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in patterns), source
