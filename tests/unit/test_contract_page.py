"""The page `/contract` has all of the contract, in both languages, and nothing from outside."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from support.contract_schemas import FOLDER

from consumers.stats.contract_page import THEMES, contract_page
from consumers.stats.contract_routes import add_contract
from consumers.stats.contract_words import LANGUAGES, WORDS
from consumers.stats.page_files import POLICY, add_page
from schemas.commands import COMMANDS
from schemas.contract.documents import ASYNCAPI, documents

# Names of products, protocols, formats and units, which have no translation.
NAMES = "Hookline Kafka TIM IM JSON URL UTC UTF CRC SHA Unix CloudEvents EN MsgKey MsgSeq".split()  # noqa: SIM905
VOID = {"meta", "link"}


class Reading(HTMLParser):
    """Reads a page: the elements that are open, ids, links, and texts by the class of their row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.codes: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, its id and its address."""
        values = dict(attrs)
        assert not {"style", "onclick", "onload"} & values.keys()
        if tag not in VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(values["id"] or "")
        self.links += [value for name in ("href", "src") if (value := values.get(name))]

    def handle_endtag(self, tag: str) -> None:
        """Check that the element that was opened last is closed first."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if data.strip() and "code" in self.open:
            self.codes.append(data)
        elif data.strip():
            self.texts.append(data)


def client() -> TestClient[web.Request, web.Application]:
    """Return a client of an application that has the pages."""
    app = web.Application()
    add_contract(app, version=add_page(app))
    return TestClient(TestServer(app))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("theme", THEMES)
def test_the_page_is_sound_and_has_every_name_of_the_contract(language: str, theme: str) -> None:
    """Each element is closed, each id is there once, and each link within the page has a target."""
    document = documents()[ASYNCAPI]
    reading = Reading(contract_page(documents(), language, theme, "1"))
    assert reading.open == []
    assert len(reading.ids) == len(set(reading.ids))
    assert {link[1:] for link in reading.links if link.startswith("#")} <= set(reading.ids)
    assert set(COMMANDS) <= set(reading.ids)
    assert not [link for link in reading.links if "//" in link]
    shown = {part for code in reading.codes for part in (code, re.split(r"\.(?=\w+$)", code)[-1])}
    for name, wrapped in document["components"]["schemas"].items():
        if name not in {"Callback", "Element"}:
            properties = wrapped["schema"]["properties"]
            fields = properties.get("MsgContent", {}).get("properties", properties)
            assert {each.rpartition(".")[2] for each in fields} <= {
                each.removesuffix("[]") for each in shown
            }
    assert {channel["address"] for channel in document["channels"].values()} <= shown


def test_the_chinese_page_has_no_english_sentence() -> None:
    """Only names, types of JSON Schema and values in its own words."""
    types = {"string", "integer", "number", "boolean", "object", "array", "null", "any", "element"}
    reading = Reading(contract_page(documents(), "zh", "", "1"))
    for text in reading.texts:
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\w+[._/]\w+|[\w.]+\.json", "", text))
        rest = [word for word in words if word not in types and word not in NAMES]
        # A meaning may name values and fields.
        assert len(rest) <= 4, text


def test_every_text_has_two_languages_that_differ() -> None:
    """A text that was not translated would be the same twice."""
    for name, texts in WORDS.items():
        assert len(texts) == len(LANGUAGES), name
        assert texts[0] != texts[1], name
    tables = Path(__file__).parents[2] / "schemas" / "contract" / "tables"
    for path in tables.glob("*.txt"):
        for line in path.read_text().splitlines():
            if "|" in line and not line.startswith("#"):
                meaning, chinese = line.split("|")[-2:]
                assert meaning.strip()
                assert re.search("[\u4e00-\u9fff]", chinese), line


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("", "de,zh;q=0.5", "en"),
        ("?lang=en", "zh-CN", "en"),
        ("?lang=zh&theme=dark", "en", "zh-CN"),
        ("?lang=<script>&theme=<script>", "", "en"),
    ],
)
async def test_the_language_is_that_of_the_address_or_of_the_browser(
    query: str, accepted: str, language: str
) -> None:
    """A theme that does not exist is that of the reader's system."""
    async with client() as asked:
        answer = await asked.get(f"/contract{query}", headers={"Accept-Language": accepted})
        page = await answer.text()
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Vary"] == "Accept-Encoding, Accept-Language"
        assert f'<html lang="{language}"' in page
        assert ('data-theme="dark"' in page) == ("dark" in query)
        assert "<script" not in page
        again = await asked.get(
            f"/contract{query}",
            headers={"Accept-Language": accepted, "If-None-Match": answer.headers["ETag"]},
        )
        assert again.status == 304


async def test_the_page_links_to_files_that_are_served() -> None:
    """The style sheets, the contract in words, and the documents as they are in docs/contract."""
    async with client() as asked:
        page = await (await asked.get("/contract?lang=en")).text()
        for link in Reading(page).links:
            if not link.startswith(("#", "?")):
                assert (await asked.get(f"/{link.removeprefix('./')}")).status == 200, link
        for path in FOLDER.glob("*.json"):
            assert f'href="contract/{path.name}"' in page
            answer = await asked.get(f"/contract/{path.name}")
            assert answer.content_type == "application/json"
            assert await answer.json() == json.loads(path.read_text())
        assert (await asked.get("/contract/other.json")).status == 404
        assert (await asked.get("/contract/..%2fasyncapi.json")).status == 404
