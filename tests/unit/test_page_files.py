"""The files of the statistics page as they are sent: addresses, caching, policy; the runbook."""

import gzip
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from consumers.stats import page_files
from consumers.stats.page_files import POLICY, add_page
from ops.npm_files import NpmFile, fetch, listed

ROOT = Path(__file__).parents[2]


def a_page(folder: Path) -> Path:
    """Make a small page."""
    (folder / "vendor").mkdir()
    (folder / "index.html").write_text("{preloads}<script src='page/{version}/page.js'></script>")
    (folder / "page.js").write_text("export {};")
    (folder / "vendor" / "uplot.js").write_text("var uPlot;")
    return folder


def client() -> TestClient[web.Request, web.Application]:
    """Return a client of an application that has only the page."""
    app = web.Application()
    add_page(app)
    return TestClient(TestServer(app))


async def test_the_document_is_asked_for_again_and_its_files_never() -> None:
    """The address of a file changes with any file."""
    async with client() as asked:
        document = await asked.get("/")
        assert document.content_type == "text/html"
        assert document.headers["Cache-Control"] == "no-cache"
        assert document.headers["Content-Security-Policy"] == POLICY
        again = await asked.get("/", headers={"If-None-Match": document.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
        addresses = re.findall(r'(?:src|href)="(page/[^"]+)"', await document.text())
        assert len(addresses) > 10
        for address in addresses:
            if "/vendor/" in address:
                continue  # of npm, and perhaps not downloaded
            file = await asked.get("/" + address)
            assert file.status == 200, address
            assert "immutable" in file.headers["Cache-Control"]
            assert file.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/page/other/page.js", "/page/{v}/index.htm", "/page/{v}/../api.py", "/page/{v}/vendor.txt/x"],
)
async def test_other_paths_are_not_found(path: str) -> None:
    """Files of another version, and everything outside the page."""
    version, _ = page_files.page_files()
    async with client() as asked:
        assert (await asked.get(path.replace("{v}", version))).status == 404


async def test_a_browser_that_reads_gzip_gets_it() -> None:
    """The bytes are compressed once, when the process starts."""
    async with client() as asked:
        raw = await asked.get("/", headers={"Accept-Encoding": "identity"})
        packed = await asked.get("/", headers={"Accept-Encoding": "gzip"}, compress=False)
        assert "Content-Encoding" not in raw.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert await packed.read() == await raw.read()


def test_the_version_is_that_of_all_files(tmp_path: Path) -> None:
    """A changed file gives all files new addresses; every module is loaded at once."""
    folder = a_page(tmp_path)
    version, files = page_files.page_files(folder)
    index = files["index.html"].content.decode()
    assert index.count(f"page/{version}/page.js") == 2
    assert gzip.decompress(files["page.js"].gzipped) == b"export {};"
    (folder / "vendor" / "uplot.js").write_text("var other;")
    assert page_files.page_files(folder)[0] != version


async def test_the_contract_in_words_is_served() -> None:
    """As docs/contract.md has it; the page /contract links to it."""
    async with client() as asked:
        text = await (await asked.get("/contract/text")).text()
    assert '<h2 id="the-counts">' in text


async def test_the_runbook_has_the_anchors_that_the_docs_use() -> None:
    """The page links to them; the text is not read as HTML."""
    async with client() as asked:
        text = await (await asked.get("/runbook")).text()
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert len(headings) > 5
    for heading in headings:
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        assert f'id="{anchor}"' in text
    assert "<script" not in text


def test_files_that_are_there_need_no_network(tmp_path: Path) -> None:
    """A file with another content is not taken for the wanted one."""
    (tmp_path / "a.js").write_text("one")
    one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    (wanted,) = listed(f"package@1 dist/a.js a.js {one}\n")
    assert wanted == NpmFile(package="package@1", path="dist/a.js", name="a.js", sha256=one)
    fetch([wanted], tmp_path)
    assert wanted.is_in(tmp_path)
    (tmp_path / "a.js").write_text("two")
    assert not wanted.is_in(tmp_path)
