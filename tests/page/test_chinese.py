"""The Chinese page has no English word in any state: only names, which have no translation."""

import re
from functools import cache

import msgspec
import pytest
from playwright.sync_api import Page, expect
from support.page.browser import READY, Show
from support.page.fixture_server import FixtureServer
from support.page.made_up_answers import APPS, BY, Answers
from support.pipeline_states import CASES, DENIED, REJECTED, SINCE_14_02, SOME_WRONG

from consumers.stats.windows import zone_names

# Names of products, protocols and formats; names of fields and values.
NAMES = {
    *("ACL", "API", "CSV", "EN", "Hookline", "HTTP", "JavaScript", "OK", "REST", "URL"),
    *("Kafka", "PostgreSQL", "TIM", "Valkey", "Webhook"),
    *("archive", "counters", "sync", "webhook", "statistics", "fault", "quarantined", "make setup"),
    *("B", "KiB", "MiB", "GiB", "TiB", "ingress", "DataError", "NotJson"),
    *("hookline dead-letters ls", "hookline archive expire", "hookline status"),
    "hookline topics apply --acls FILE",
}
# A setting, a field or metric with an underscore, a path.
IDENTIFIER = re.compile(r"\b[A-Za-z]+(_[A-Za-z]+)+\b|/[a-z]+\b")
# All that a reader sees or hears, except the command, which is typed as it is.
TEXTS = """() => {
  const seen = [];
  for (const node of document.querySelectorAll("body, body *")) {
    if (node.closest("script, noscript, code, [data-language=en]")) continue;
    for (const child of node.childNodes) if (child.nodeType === 3) seen.push(child.textContent);
    for (const name of ["aria-label", "aria-valuetext", "data-error", "title", "label", "alt"])
      if (node.hasAttribute(name)) seen.push(node.getAttribute(name));
  }
  return [document.title, ...new Set(seen)].filter((text) => /[A-Za-z]/.test(text));
}"""


OWN = {*NAMES, *APPS, *zone_names(), *(name for by in BY.values() for name in by)}
KNOWN = sorted(
    map(re.escape, OWN | {name.replace("_", " ") for name in OWN}), key=len, reverse=True
)
NAME = re.compile(rf"(?<![A-Za-z])({'|'.join(KNOWN)})(?![A-Za-z])")


@cache
def has_word(text: str, *values: str) -> bool:
    """Return whether the text has a word in Latin letters: no name, and none of `values`."""
    rest = re.sub("|".join(values) or "$", "", text)
    return bool(re.search("[A-Za-z]", NAME.sub("", IDENTIFIER.sub("", rest))))


def english_words(page: Page, *values: str) -> list[str]:
    """Return the texts of the page that have a word which is not a name, nor one of `values`."""
    return [text for text in page.evaluate(TEXTS) if has_word(text, *values)]


def test_every_state_of_the_pipeline_is_in_chinese(show: Show) -> None:
    """Each text that the API has for a stage, as the API makes it, with its number."""
    page = show("lang=zh")
    module = page.locator("link[rel=modulepreload][href$='pipeline.js']").evaluate("n => n.href")
    script = f"""async ([module, health]) => {{
      const {{ showPipeline }} = await import(module);
      showPipeline(health, false);
      return [document.querySelector("#pipeline ul").textContent, ({TEXTS})()];
    }}"""
    for name, of_stage, _, measured in CASES:
        health = Answers(measured=measured).health()
        shown, texts = page.evaluate(script, [module, msgspec.to_builtins(health)])
        stage = next(each for each in health.stages if each.stage == of_stage)
        assert stage.what.zh.rstrip("。") in shown or stage.state == "ok"
        assert "undefined" not in shown
        # A process says in English why it has stopped, or waits for Kafka.
        reasons = SINCE_14_02.what, re.escape(DENIED), re.escape(REJECTED)
        assert [text for text in texts if has_word(text, *reasons)] == [], name


def test_a_change_of_the_pipeline_is_shown_without_a_reload(
    show: Show, server: FixtureServer
) -> None:
    """By the event `health` of the live updates."""
    page = show("lang=zh")
    server.world.answers = Answers(measured=SOME_WRONG)
    expect(page.locator("#pipeline-state")).to_have_text("出现故障")


@pytest.mark.parametrize(
    ("query", "answers"),
    [
        ("", Answers()),
        ("&tables=live,today,days", Answers()),
        ("&app=1400000002&tz=America/St_Johns&theme=dark", Answers(error=0.0081)),
        ("&tables=live,today,days&theme=light", Answers(error=0.0081)),
        ("", Answers(measured=SOME_WRONG)),
    ],
)
def test_the_figures_are_in_chinese(
    show: Show, server: FixtureServer, query: str, answers: Answers
) -> None:
    """Charts, tables, lists, exact and estimated; the readout of a chart, too."""
    server.world.answers = answers
    page = show(f"lang=zh{query}")
    if "tables" not in query:
        page.hover("#today .plot", position={"x": 120, "y": 60})
    assert english_words(page) == []


def test_the_empty_page_is_in_chinese(show: Show, server: FixtureServer) -> None:
    """The command itself is typed as it is."""
    server.world.answers = Answers(is_empty=True)
    page = show(
        "lang=zh", until="#empty:not([hidden])", permissions=["clipboard-read", "clipboard-write"]
    )
    assert english_words(page) == []
    page.get_by_role("button", name="复制").click()
    expect(page.get_by_role("button", name="已复制")).to_be_visible()


def test_a_first_day_is_in_chinese(show: Show, server: FixtureServer) -> None:
    """There is nothing to compare with, and the lists are empty."""
    server.world.answers = Answers(is_empty=True, apps=["1400000001"])
    page = show("lang=zh")
    assert english_words(page) == []


def test_a_page_that_waits_or_has_lost_its_connection_is_in_chinese(
    show: Show, server: FixtureServer
) -> None:
    """Before the first answer, and after the last one."""
    server.world.is_slow = True
    page = show("lang=zh", until="main[aria-busy=true]")
    assert english_words(page) == []
    server.world.is_slow = False
    page.wait_for_selector(READY)
    server.world.is_cut = True
    expect(page.locator("#connection")).to_contain_text("正在重连")
    assert english_words(page) == []


@pytest.mark.parametrize(
    ("failure", "has_figures"),
    [(503, True), (500, True), (502, True), (503, False), (502, False), ("cut", False)],
)
def test_statistics_that_cannot_be_read_are_reported_in_chinese(
    show: Show, server: FixtureServer, failure: int | str, *, has_figures: bool
) -> None:
    """The API's reason is in English; the page has words of its own for each kind of failure."""

    def fail() -> None:
        server.world.is_cut = failure == "cut"
        server.world.status = 200 if failure == "cut" else int(failure)

    if has_figures:
        page = show("lang=zh")
        fail()
    else:
        fail()
        page = show("lang=zh", until="#notice:not([hidden])")
    expect(page.locator("#notice")).to_contain_text("统计数据暂时无法读取")
    assert english_words(page) == []


@pytest.mark.parametrize("query", ["app=1", "app=x", "tz=Mars", "app=1&tz=Mars"])
def test_a_refused_address_is_explained_in_chinese(show: Show, query: str) -> None:
    """The value is shown as it is in the address."""
    page = show(f"lang=zh&{query}", until="#notice:not([hidden])")
    assert english_words(page, "x", "Mars") == []
    page.get_by_role("button", name="显示全部应用").click()
    page.wait_for_selector(READY)


def test_the_dialog_of_the_token_is_in_chinese(show: Show, server: FixtureServer) -> None:
    """Also after a wrong token."""
    server.world.token = "right-token"  # noqa: S105 - made up
    page = show("lang=zh", until="#token[open]")
    assert english_words(page) == []
    page.fill("#token input", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token .refused")).to_have_text("令牌无效。")
    assert english_words(page) == []


def test_a_page_without_the_chart_library_is_in_chinese(show: Show) -> None:
    """It names the command that installs it."""
    page = show("lang=zh", until="body")
    page.route("**/vendor/uplot.js", lambda route: route.abort())
    page.reload()
    page.wait_for_selector(READY)
    assert english_words(page) == []
