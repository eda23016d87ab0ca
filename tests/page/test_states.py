"""Loading, empty, stale, wrong, refused: each says what it is, and ends by itself."""

import re

import pytest
from playwright.sync_api import Page, expect
from support.page.browser import READY, Show
from support.page.fixture_server import FixtureServer
from support.page.made_up_answers import NOW, Answers
from support.pipeline_states import (
    DENIED,
    FULL_WITHOUT_KAFKA,
    NO_DEAD_LETTER_READ,
    REJECTED,
    SILENT,
    SOME_DEAD_LETTERS_READ,
    SOME_WRONG,
    WITHOUT_ACCESS,
    measured,
)

from consumers.stats.health_words import TEXTS
from consumers.stats.process_statuses import ProcessStatuses


def boxes(page: Page) -> dict[str, object]:
    """Return where each part of the page is."""
    script = """() => Object.fromEntries(
        [...document.querySelectorAll("main > section:not([hidden]), .number, .plot, h2")]
        .filter((node) => node.getClientRects().length)
        .map((node, index) => [node.id || index, JSON.stringify(node.getBoundingClientRect())]))"""
    places: dict[str, object] = page.evaluate(script)
    return places


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_nothing_moves_when_the_numbers_arrive(
    show: Show, server: FixtureServer, width: int, height: int
) -> None:
    """The skeleton has the size of the page."""
    server.world.is_slow = True
    page = show(until="main[aria-busy=true]", width=width, height=height)
    page.wait_for_selector("#live .plot")
    before = boxes(page)
    server.world.is_slow = False
    page.wait_for_selector(READY)
    after = boxes(page)
    if width == 1440:
        assert before == after
    # On a phone the lists below have as many rows as there are names.
    top = ("now", "messages", "live", "pipeline", "today", "days")
    assert {name: before[name] for name in top} == {name: after[name] for name in top}


def test_an_empty_page_teaches_and_fills_itself(show: Show, server: FixtureServer) -> None:
    """The command can be copied; the first callback makes it a page of numbers."""
    server.world.answers = Answers(is_empty=True)
    page = show(
        "lang=en", until="#empty:not([hidden])", permissions=["clipboard-read", "clipboard-write"]
    )
    assert page.locator("#messages").is_hidden()
    assert page.locator("#pipeline").is_visible()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#empty code").text_content()
    assert copied.startswith('curl "http://127.0.0.1:8080/?SdkAppid=')
    server.world.answers = Answers()
    expect(page.locator("#messages .value")).to_be_visible()
    assert page.locator("#empty").is_hidden()


def test_a_lost_connection_says_so_and_comes_back(show: Show, server: FixtureServer) -> None:
    """The numbers stay; after the reconnection nothing is left of the warning."""
    page = show()
    shown = page.inner_text("#messages .value")
    server.world.is_cut = True
    expect(page.locator("#connection")).to_contain_text(
        re.compile(r"Last update \d+ s ago, reconnecting")
    )
    assert page.inner_text("#messages .value") == shown
    expect(page.locator("#pipeline-state")).to_contain_text("not known")
    server.world.is_cut = False
    expect(page.locator("#connection")).to_be_empty()
    expect(page.locator("#pipeline-state")).to_contain_text("all well")
    # It asks for what it missed.
    assert server.world.resumed[0] == ""
    assert server.world.resumed[-1] == NOW.isoformat()


def test_a_load_that_fails_ends_before_the_next_one_begins(
    show: Show, server: FixtureServer
) -> None:
    """Else an old answer about the state of the pipeline could replace a newer one."""
    page = show()
    skip_a_minute = """() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + 61_000;
    }"""
    server.world.is_health_slow, server.world.is_store_away = True, True
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_response(re.compile("/v1/summary")):
        page.evaluate(skip_a_minute)
    # If the load ended now, another one would be due a minute later: the page looks each second.
    page.wait_for_timeout(500)
    page.evaluate(skip_a_minute)
    page.wait_for_timeout(2500)
    assert len([url for url in asked if "/v1/health" in url]) == 1
    server.world.is_health_slow = False
    expect(page.locator("#notice")).to_contain_text("the statistics API cannot read Valkey")


def test_a_store_that_does_not_answer_is_said_in_words(show: Show, server: FixtureServer) -> None:
    """At the first request and later; the page tries again by itself."""
    server.world.status = 503
    page = show(until="#notice:not([hidden])")
    expect(page.locator("#notice")).to_contain_text(
        "The statistics cannot be read: the statistics API cannot read Valkey."
    )
    server.world.status = 200
    page.wait_for_selector(READY)
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("has_live_health", [True, False])
def test_an_open_page_shows_that_the_counts_cannot_be_read(
    show: Show, server: FixtureServer, *, has_live_health: bool
) -> None:
    """The state of the pipeline comes without the counts: live, and when the page asks for it."""
    server.world.has_live_health = has_live_health
    page = show()
    expect(page.locator("#pipeline-state")).to_contain_text("all well")
    server.world.answers = Answers(measured=measured(valkey=SILENT))
    server.world.is_store_away = True
    (stage,) = (s for s in server.world.answers.health().stages if s.stage == "counts")
    expect(page.locator("#pipeline li.wrong")).to_contain_text(stage.what.en)
    expect(page.locator("#notice")).to_contain_text("the statistics API cannot read Valkey")
    expect(page.locator("#pipeline-state")).to_contain_text("something is wrong")
    # The API answers, so the connection is not lost.
    expect(page.locator("#connection")).to_contain_text(re.compile(r"^Last update \d+ s ago"))
    expect(page.locator("#connection")).not_to_contain_text("reconnecting")


def test_an_app_that_is_not_there_is_refused_with_a_way_out(show: Show) -> None:
    """For example in an old link."""
    page = show("lang=en&app=1", until="#notice:not([hidden])")
    expect(page.locator("#notice")).to_contain_text("App 1 has no callbacks")
    page.get_by_role("button", name="Show all apps").click()
    page.wait_for_selector(READY)
    assert "app=" not in page.url
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_stage_that_is_wrong_says_what_to_do(
    show: Show, server: FixtureServer, language: str
) -> None:
    """State, since when, what is wrong, what to do, and the runbook: all as words."""
    server.world.answers = answers = Answers(measured=SOME_WRONG)
    page = show(f"lang={language}")
    stages = answers.health().stages
    for stage, item in zip(stages, page.locator("#pipeline li").all(), strict=True):
        assert item.get_attribute("class") == stage.state
        if stage.state == "wrong":
            text = item.inner_text()
            assert getattr(stage.what, language) in text
            assert getattr(stage.what_to_do, language) in text
            assert "14:0" in text
    assert page.title().startswith("▲")
    page.locator("#pipeline li.wrong a").first.click()
    page.wait_for_url("**/runbook#*")
    anchor = page.url.partition("#")[2]
    assert page.locator(f"[id='{anchor}']").count() == 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_outage_of_kafka_that_has_filled_the_spools_is_no_harmless_one(
    show: Show, server: FixtureServer, language: str
) -> None:
    """Receiving, the disk and Kafka do not contradict each other."""
    server.world.answers = answers = Answers(measured=FULL_WITHOUT_KAFKA)
    page = show(f"lang={language}")
    stages = {stage.stage: stage for stage in answers.health().stages}
    texts = dict(zip(stages, page.locator("#pipeline li").all_inner_texts(), strict=True))
    for name in ("receiving", "on_disk", "kafka"):
        assert getattr(stages[name].what, language) in texts[name]
        assert not re.search("Nothing is lost|没有丢失.回调", texts[name])
    label = {"en": "Receiving", "zh": "接入"}[language]
    assert page.locator("#pipeline li .name").first.inner_text() == label
    assert label in getattr(stages["kafka"].what, language)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (NO_DEAD_LETTER_READ, "dead_letters_partly_read"),
        (SOME_DEAD_LETTERS_READ, "dead_letters_wait_partly_read"),
    ],
)
def test_dead_letters_that_were_not_all_read_have_no_number(
    show: Show, server: FixtureServer, measured: ProcessStatuses, text: str, language: str
) -> None:
    """The text says what is known of them."""
    server.world.answers = answers = Answers(measured=measured)
    page = show(f"lang={language}")
    dead_letters = answers.health().stages[-1]
    assert dead_letters.stage == "dead_letters"
    item = page.locator("#pipeline li").nth(len(answers.health().stages) - 1)
    assert item.get_attribute("class") == dead_letters.state
    assert item.locator(".amount").inner_text() == ""
    assert getattr(dead_letters.what, language) in item.inner_text()
    assert TEXTS[text].do_en == dead_letters.what_to_do.en


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_stage_that_cannot_use_kafka_says_why(
    show: Show, server: FixtureServer, language: str
) -> None:
    """The reason of the ingress, of a consumer, and of the statistics process itself."""
    server.world.answers = Answers(measured=WITHOUT_ACCESS)
    page = show(f"lang={language}")
    stages = {stage.stage: stage for stage in server.world.answers.health().stages}
    texts = dict(zip(stages, page.locator("#pipeline li").all_inner_texts(), strict=True))
    assert {name for name, text in texts.items() if REJECTED in text} == {"kafka", "database"}
    assert {name for name, text in texts.items() if DENIED in text} == {"dead_letters"}
    for name in ("kafka", "database", "dead_letters"):
        assert getattr(stages[name].what_to_do, language) in texts[name]


def test_a_token_is_asked_for_once_and_used_for_everything(
    show: Show, server: FixtureServer
) -> None:
    """A wrong one is refused in words; CSV needs it, too; it is in no address and no cookie."""
    server.world.token = "right-token"  # noqa: S105 - made up
    page = show(until="#token[open]")
    page.fill("#token input", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token .refused")).to_have_text("This token is not accepted.")
    page.fill("#token input", "right-token")
    page.get_by_role("button", name="Show the statistics").click()
    page.wait_for_selector(READY)
    page.wait_for_function("document.querySelector('#connection').childElementCount === 0")
    with page.expect_download() as download:
        page.locator("#days .tools a").click()
    assert download.value.path().read_text().startswith("begin,end,callbacks,messages,")
    assert page.context.cookies() == []
    assert "right-token" not in page.url
    assert not any("right-token" in asked for asked in server.world.asked)
