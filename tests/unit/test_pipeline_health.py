"""The state of the pipeline in words: each fault of each stage, in both languages."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from string import Formatter

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.pipeline_states import (
    AT_14_02,
    BRAKED,
    CASES,
    FULL,
    NOW,
    SILENT,
    SINCE_14_02,
    a_consumer,
    an_ingress,
    measured,
    stage,
    stated,
    with_kafka_and,
    with_one,
)

from consumers.runtime.status import ConsumerStatus
from consumers.stats.addresses import is_admin_url
from consumers.stats.health import Timeline, find
from consumers.stats.health_answers import Words
from consumers.stats.health_text import IN_KAFKA_PHRASES
from consumers.stats.health_words import TEXTS
from consumers.stats.process_statuses import ProcessStatuses, SilentProcess
from consumers.stats.processes import Processes, Watched

DOCS = Path(__file__).parents[2] / "docs"


async def test_processes_of_an_earlier_release_answer() -> None:
    """During an upgrade they run beside this one; some fields have a new name since."""
    ingress = msgspec.to_builtins(an_ingress(tokens_fault="not TOML"))
    ingress["secrets_fault"] = ingress.pop("tokens_fault")
    consumer = msgspec.to_builtins(a_consumer(partitions_backing_off=2))
    consumer["partitions_paused"] = consumer.pop("partitions_backing_off")
    del consumer["oldest_in_kafka_s"]

    async def status(request: web.Request) -> web.Response:
        return web.json_response(ingress if "ingress" in request.path else consumer)

    app = web.Application()
    app.add_routes([web.get("/{name}/status", status)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        ingress_url, url = (str(server.make_url(path)) for path in ("/ingress", "/sync"))
        processes = Processes(session, Watched(ingress=[ingress_url], consumers=[("sync", url)]))
        measured = await processes.ask()
        await processes.close()
    assert measured.ingress == [an_ingress(tokens_fault="not TOML")]
    known = a_consumer(partitions_backing_off=2, oldest_in_kafka_s=None)
    assert measured.consumers == {"sync": [known]}


def test_every_text_has_a_case() -> None:
    """So no text is unused, and none is untested."""
    assert sorted(text for text, *_ in CASES) == sorted(TEXTS)


@pytest.mark.parametrize(("text", "name", "state", "what"), CASES, ids=[c[0] for c in CASES])
def test_each_fault_has_its_state_and_its_words(
    text: str, name: str, state: str, what: ProcessStatuses
) -> None:
    """The words are complete in both languages, and lead to a section that exists."""
    shown_stage = stage(name, what)
    expected = TEXTS[text]
    assert shown_stage.state == state
    for form, sentence in (
        (expected.en, shown_stage.what.en),
        (expected.do_en, shown_stage.what_to_do.en),
        (expected.zh, shown_stage.what.zh),
        (expected.do_zh, shown_stage.what_to_do.zh),
    ):
        assert sentence
        assert sentence.endswith((".", "。"))
        assert not re.search(r"[{}]|  |\bNone\b|,\.|，，", sentence), sentence
        literal = max((part for part, *_ in Formatter().parse(form)), key=len)
        assert literal[1:].rstrip(".").rstrip(",") in sentence
    assert not re.search("[一-鿿]", shown_stage.what.en + shown_stage.what_to_do.en)
    assert re.search("[一-鿿]", shown_stage.what.zh)
    assert re.search("[一-鿿]", shown_stage.what_to_do.zh)
    page, _, anchor = shown_stage.runbook.removeprefix("docs/").partition("#")
    assert not anchor or anchor in anchors(page)


@pytest.mark.parametrize("name", sorted(set(TEXTS)))
def test_each_text_says_whether_anything_is_lost(name: str) -> None:
    """Unless nothing is wrong, or nothing is known; `in_kafka` is a phrase that says it."""
    if not name.endswith(("_ok", "_not_watched")) and name not in (
        "kafka_only_read",
        "kafka_unknown",
        "kafka_unreached",
    ):
        assert re.search(r"\blost\b|{in_kafka}", TEXTS[name].en)
        assert re.search("丢失|{in_kafka}", TEXTS[name].zh)


@pytest.mark.parametrize("phrase", IN_KAFKA_PHRASES.values(), ids=IN_KAFKA_PHRASES)
def test_each_phrase_about_kafka_says_whether_anything_is_lost(phrase: Words) -> None:
    """In both languages."""
    assert "lost" in phrase.en
    assert "丢失" in phrase.zh


def anchors(page: str) -> set[str]:
    """Return the anchors of a page of the docs."""
    titles = re.findall(r"^#+ (.*)$", (DOCS / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_database_that_does_not_answer_is_described_like_this() -> None:
    """What is wrong, since when, whether anything is lost, how long it may last, what to do."""
    shown_stage = stage("database", with_kafka_and(sync=[a_consumer(sink_fault=SINCE_14_02)]))
    assert shown_stage.what.en == (
        "PostgreSQL does not answer or refuses everything (since 14:02). Nothing is lost; "
        "callbacks wait in Kafka, which keeps them for 6 days more (with a retention of 7 days)."
    )
    assert shown_stage.what_to_do.en == "Check the server; the rest recovers by itself."
    assert shown_stage.what.zh == (
        "自 14:02 起 PostgreSQL 无应答或拒绝写入。没有丢失；回调在 Kafka 中等待（按保留时间 7 天，"
        "还可保留 6 天）。"
    )
    assert shown_stage.since == AT_14_02
    assert shown_stage.runbook == "docs/runbook.md#a-sink-is-down"


def test_a_pipeline_that_is_well_says_so_with_one_number_for_each_stage() -> None:
    """The stages have the order in which callbacks go through them."""
    health = stated(measured())
    assert health.state == "ok"
    assert [(one.stage, one.number, one.of, one.unit) for one in health.stages] == [
        ("receiving", 2, 2, "replicas"),
        ("on_disk", 6, None, "callbacks"),
        ("kafka", 0.1, None, "seconds"),
        ("archive", 0.2, None, "seconds"),
        ("database", 0.2, None, "seconds"),
        ("counts", 0.2, None, "seconds"),
    ]


@pytest.mark.parametrize(
    ("what", "state"),
    [
        (measured(sync=[SILENT]), "wrong"),
        (measured(sync=[a_consumer(oldest_waiting_s=40.0)]), "warning"),
        (measured(None), "warning"),
        (measured(sync=[a_consumer(oldest_waiting_s=400.0)]), "wrong"),
    ],
)
def test_the_pipeline_is_as_well_as_its_worst_stage(what: ProcessStatuses, state: str) -> None:
    """Not to know is a warning."""
    assert stated(what).state == state


def test_nothing_of_a_process_that_does_not_answer_is_shown() -> None:
    """Its last number is not repeated."""
    health = stated(measured([SILENT], sync=[SILENT], archive=[SILENT], counters=[SILENT]))
    assert [stage.number for stage in health.stages] == [0, None, None, None, None, None]
    assert "ok" not in {stage.state for stage in health.stages}


def test_kafka_says_how_long_the_records_of_a_silent_consumer_are_kept() -> None:
    """By the retention that the topic has, and the first record that the group has not read."""
    unread_since = {"sync": NOW - timedelta(hours=7)}
    what = with_kafka_and(retention_s=48 * 3600.0, unread_since=unread_since, sync=[SILENT])
    shown_stage = stage("database", what)
    assert "keeps them for 41 hours more (with a retention of 2 days)" in shown_stage.what.en
    assert shown_stage.number == 7 * 3600


def test_a_disk_is_short_only_if_the_spool_may_need_more_than_is_left() -> None:
    """Of a large disk, 1 GiB is enough; a small one has to hold the spool at its bound."""
    large = {"spool_bytes_max": 100 << 30}
    assert stage("on_disk", with_one(**large, spool_disk_free_bytes=5 << 30)).state == "ok"
    assert stage("on_disk", with_one(**large, spool_disk_free_bytes=1 << 29)).state == "warning"
    assert stage("on_disk", with_one(spool_disk_free_bytes=20_000)).state == "ok"


def test_an_age_that_one_process_does_not_know_leaves_the_oldest_unknown() -> None:
    """The other one may be the smaller."""
    shown_stage = stage(
        "database", measured(sync=[a_consumer(), a_consumer(oldest_waiting_s=None)])
    )
    assert (shown_stage.state, shown_stage.number) == ("unknown", None)


def test_the_age_of_a_batch_is_not_a_lag() -> None:
    """The archive makes a segment of a minute by default."""
    archive = [a_consumer(oldest_waiting_s=75.0, batch_age_s=60.0)]
    assert stage("archive", measured(archive=archive)).state == "ok"


def test_since_is_when_the_state_was_seen_to_change() -> None:
    """Unless the processes say it; the beginning of the first state is not known."""
    timeline = Timeline()

    def since(what: ProcessStatuses, minutes: int) -> datetime | None:
        now = NOW + timedelta(minutes=minutes)
        finding = find(replace(what, now=now))[0]
        timeline.note(finding, now)
        return timeline.since(finding)

    assert since(measured(), 0) is None
    assert since(with_one(**FULL), 1) == NOW + timedelta(minutes=1)
    assert since(with_one(**FULL), 2) == NOW + timedelta(minutes=1)
    assert since(measured([an_ingress(), SILENT]), 3) == AT_14_02
    assert since(measured(), 4) == NOW + timedelta(minutes=4)


def test_a_time_of_another_day_has_its_date() -> None:
    """In the zone that was asked for."""
    shown_stage = stage("database", measured(sync=[SilentProcess(NOW - timedelta(days=1))]))
    assert "(since 2026-11-27 14:42)" in shown_stage.what.en


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://ingress:8081", True),
        ("https://[::1]:8081", True),
        ("http://ingress:8081/status", False),
        ("http://user:password@ingress:8081", False),
        ("ingress:8081", False),
        ("http://ingress:99999", False),
    ],
)
def test_the_url_of_an_admin_port_is_checked(url: str, *, allowed: bool) -> None:
    """A fault of a setting is found at the start, not at the first request."""
    assert is_admin_url(url) is allowed


def test_the_status_of_a_consumer_can_be_read_again() -> None:
    """The admin port writes the type that the statistics API reads."""
    encode: Callable[[object], bytes] = msgspec.json.encode
    assert msgspec.json.decode(encode(BRAKED), type=ConsumerStatus) == BRAKED
