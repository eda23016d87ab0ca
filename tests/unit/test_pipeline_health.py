"""The state of the pipeline in words: each fault of each stage, in both languages."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from consumers.runtime.status import ConsumerStatus, Fault
from consumers.stats.addresses import is_admin_url
from consumers.stats.answers import Health, Stage
from consumers.stats.findings import NOT_CONNECTED, STOPPING
from consumers.stats.health import Timeline, find, health
from consumers.stats.health_texts import TEXTS
from consumers.stats.measured import IngressStatus, Measured, NoAnswer, SpoolStatus

DOCS = Path(__file__).parents[2] / "docs"
ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 28, 6, 42, tzinfo=UTC)
AT_14_02 = datetime(2026, 11, 28, 6, 2, tzinfo=UTC)
SINCE_14_02 = Fault(what="by the test", for_s=40 * 60.0)
DAY_S = 86400.0


def an_ingress(**fields: Any) -> IngressStatus:
    """Return the status of an ingress that is well, but for `fields`."""
    well: dict[str, Any] = {
        "unready_because": "",
        "forward_fault": "",
        "secrets_fault": "",
        "oldest_waiting_s": 0.1,
        "spool_rows": 3,
        "spool_bytes": 100,
        "spool_bytes_max": 10_000,
        "spool_full_in_s": None,
        "spools": (),
    }
    return IngressStatus(**well | fields)


def a_consumer(**fields: Any) -> ConsumerStatus:
    """Return the status of a consumer that is well, but for `fields`."""
    well: dict[str, Any] = {
        "name": "any",
        "uptime_s": 1000.0,
        "partitions": 6,
        "partitions_backing_off": 0,
        "lag_offsets": 0,
        "oldest_waiting_s": 0.2,
        "batch_age_s": 1.0,
        "rejected_lately": 0,
        "stopped": None,
        "kafka_fault": None,
        "sink_fault": None,
    }
    return ConsumerStatus(**well | fields)


SILENT = NoAnswer(AT_14_02)
FULL: dict[str, Any] = {"unready_because": "the spool was full", "spool_bytes": 9600}
INGRESSES = [an_ingress(), an_ingress()]
CONSUMERS = {name: [a_consumer()] for name in ("archive", "sync", "counters")}
BRAKED = a_consumer(stopped=SINCE_14_02, partitions=None, oldest_waiting_s=None, lag_offsets=None)
AWAY = a_consumer(kafka_fault=SINCE_14_02, partitions=None, oldest_waiting_s=None)
JOINING = a_consumer(partitions=None, oldest_waiting_s=None, uptime_s=3.0)


def measured(
    ingress: Any = INGRESSES, *, valkey: NoAnswer | None = None, **consumers: Any
) -> Measured:
    """Return the answers of a pipeline that is well, but for the arguments."""
    return Measured(now=NOW, ingress=ingress, consumers=CONSUMERS | consumers, valkey=valkey)


def stated(what: Measured) -> Health:
    """Return the state in words, for a first look at the pipeline."""
    timeline = Timeline()
    found = find(what)
    for finding in found:
        timeline.note(finding, what.now)
    return health(found, timeline, what.now, ZONE)


def stage(name: str, what: Measured) -> Stage:
    """Return one stage of it."""
    return next(stage for stage in stated(what).stages if stage.stage == name)


def with_one(**fields: Any) -> Measured:
    """Return the answers with one replica of two that has `fields`."""
    return measured([an_ingress(), an_ingress(**fields)])


def with_all(**fields: Any) -> Measured:
    """Return the answers with two replicas that have `fields`."""
    return measured([an_ingress(**fields), an_ingress(**fields)])


# The text, its stage and state, and the answers that lead to it: each text of TEXTS once.
CASES: list[tuple[str, str, str, Measured]] = [
    ("ingress_not_watched", "receiving", "unknown", measured(None)),
    ("receiving_ok", "receiving", "ok", measured()),
    ("receiving_silent", "receiving", "wrong", measured([SILENT, SILENT])),
    ("receiving_full", "receiving", "wrong", with_all(**FULL)),
    ("receiving_stopping", "receiving", "wrong", with_all(unready_because=STOPPING)),
    ("receiving_disk_fails", "receiving", "wrong", with_all(unready_because="I/O error")),
    ("receiving_some_refuse", "receiving", "warning", with_one(**FULL)),
    ("receiving_some_silent", "receiving", "warning", measured([an_ingress(), SILENT])),
    ("receiving_secrets", "receiving", "warning", with_one(secrets_fault="not JSON")),
    ("disk_ok", "on_disk", "ok", measured()),
    ("disk_unknown", "on_disk", "unknown", measured([SILENT])),
    ("disk_full", "on_disk", "wrong", with_one(**FULL)),
    ("disk_fails", "on_disk", "wrong", with_one(unready_because="I/O error")),
    ("disk_filling_fast", "on_disk", "warning", with_one(spool_full_in_s=600.0)),
    ("disk_filling", "on_disk", "warning", with_one(spool_bytes=5000)),
    (
        "disk_damaged",
        "on_disk",
        "warning",
        with_one(spools=(SpoolStatus(name="a", fault="", quarantined=(7,)),)),
    ),
    ("disk_row", "on_disk", "warning", with_one(oldest_waiting_s=None)),
    ("disk_partly_unknown", "on_disk", "warning", measured([an_ingress(), SILENT])),
    ("kafka_ok", "kafka", "ok", measured()),
    (
        "kafka_away",
        "kafka",
        "wrong",
        Measured(
            now=NOW,
            ingress=[an_ingress(forward_fault="down", oldest_waiting_s=2400.0)],
            consumers={name: [AWAY] for name in CONSUMERS},
        ),
    ),
    (
        "kafka_away_fills",
        "kafka",
        "wrong",
        Measured(
            now=NOW,
            ingress=[
                an_ingress(forward_fault="down", oldest_waiting_s=2400.0, spool_full_in_s=1e5)
            ],
        ),
    ),
    ("kafka_not_written", "kafka", "wrong", with_all(forward_fault="no topic")),
    ("kafka_some_stuck", "kafka", "warning", with_one(forward_fault="no topic")),
    ("kafka_connects", "kafka", "warning", with_one(forward_fault=NOT_CONNECTED)),
    (
        "kafka_unreadable",
        "kafka",
        "wrong",
        Measured(now=NOW, ingress=[SILENT], consumers={"sync": [AWAY]}),
    ),
    ("kafka_some_unreadable", "kafka", "warning", measured(sync=[AWAY])),
    ("kafka_only_read", "kafka", "unknown", measured([SILENT])),
    ("kafka_unknown", "kafka", "unknown", Measured(now=NOW, ingress=[SILENT])),
    ("kafka_slow", "kafka", "warning", with_one(oldest_waiting_s=2400.0)),
    ("sink_not_watched", "database", "unknown", Measured(now=NOW, ingress=INGRESSES)),
    ("sink_ok", "archive", "ok", measured()),
    ("sink_silent", "database", "wrong", measured(sync=[SILENT, SILENT])),
    ("sink_stopped", "database", "wrong", measured(sync=[BRAKED])),
    ("sink_fails", "database", "wrong", measured(sync=[a_consumer(sink_fault=SINCE_14_02)])),
    ("sink_late", "archive", "wrong", measured(archive=[a_consumer(oldest_waiting_s=6 * DAY_S)])),
    ("sink_without_kafka", "counts", "unknown", measured(counters=[AWAY])),
    ("sink_joins", "counts", "warning", measured(counters=[JOINING])),
    (
        "sink_without_partitions",
        "counts",
        "wrong",
        measured(counters=[a_consumer(partitions=0, oldest_waiting_s=0.0)]),
    ),
    ("sink_lags", "database", "warning", measured(sync=[a_consumer(oldest_waiting_s=40.0)])),
    ("sink_some_stopped", "database", "warning", measured(sync=[a_consumer(), BRAKED])),
    ("sink_some_silent", "database", "warning", measured(sync=[a_consumer(), SILENT])),
    ("sink_lag_unknown", "database", "unknown", measured(sync=[a_consumer(oldest_waiting_s=None)])),
    ("sink_rejects", "database", "warning", measured(sync=[a_consumer(rejected_lately=3)])),
    ("counts_unreadable", "counts", "wrong", measured(valkey=SILENT)),
]


def test_every_text_has_a_case() -> None:
    """So no text is unused, and none is untested."""
    assert sorted(text for text, *_ in CASES) == sorted(TEXTS)


@pytest.mark.parametrize(("text", "name", "state", "what"), CASES, ids=[c[0] for c in CASES])
def test_each_fault_has_its_state_and_its_words(
    text: str, name: str, state: str, what: Measured
) -> None:
    """The words are complete in both languages, and lead to a section that exists."""
    found = stage(name, what)
    expected = TEXTS[text]
    assert found.state == state
    for form, sentence in (
        (expected.en, found.what.en),
        (expected.do_en, found.what_to_do.en),
        (expected.zh, found.what.zh),
        (expected.do_zh, found.what_to_do.zh),
    ):
        assert sentence
        assert sentence.endswith((".", "。"))
        assert not re.search(r"[{}]|  |\bNone\b|,\.|，，", sentence), sentence
        literal = max((part for part, *_ in Formatter().parse(form)), key=len)
        assert literal[1:].rstrip(".").rstrip(",") in sentence
    assert not re.search("[一-鿿]", found.what.en + found.what_to_do.en)
    assert re.search("[一-鿿]", found.what.zh)
    assert re.search("[一-鿿]", found.what_to_do.zh)
    page, _, anchor = found.runbook.removeprefix("docs/").partition("#")
    assert not anchor or anchor in anchors(page)


@pytest.mark.parametrize("name", sorted(set(TEXTS)))
def test_each_text_says_whether_anything_is_lost(name: str) -> None:
    """Unless nothing is wrong, or nobody has said where to ask."""
    if not name.endswith(("_ok", "_not_watched")) and name not in (
        "kafka_only_read",
        "kafka_unknown",
    ):
        assert re.search(r"\blost\b", TEXTS[name].en)
        assert "丢失" in TEXTS[name].zh


def anchors(page: str) -> set[str]:
    """Return the anchors of a page of the docs."""
    titles = re.findall(r"^#+ (.*)$", (DOCS / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_database_that_does_not_answer_is_described_like_this() -> None:
    """What is wrong, since when, whether anything is lost, how long it may last, what to do."""
    found = stage("database", measured(sync=[a_consumer(sink_fault=SINCE_14_02)]))
    assert found.what.en == (
        "PostgreSQL does not answer, or refuses everything, since 14:02. Nothing is lost; "
        "callbacks wait in Kafka (room for 6 days)."
    )
    assert found.what_to_do.en == "Check the server, then nothing else is needed."
    assert found.what.zh == (
        "自 14:02 起 PostgreSQL 无应答或拒绝写入。没有丢失；回调在 Kafka 中等待（还可保留 6 天）。"
    )
    assert found.since == AT_14_02
    assert found.runbook == "docs/runbook.md#a-sink-is-down"


def test_a_pipeline_that_is_well_says_so_with_one_number_for_each_stage() -> None:
    """The stages have the order in which callbacks go through them."""
    found = stated(measured())
    assert found.state == "ok"
    assert [(stage.stage, stage.number, stage.unit) for stage in found.stages] == [
        ("receiving", "2", "of 2"),
        ("on_disk", "6", "waiting"),
        ("kafka", "0.1", "s"),
        ("archive", "0.2", "s"),
        ("database", "0.2", "s"),
        ("counts", "0.2", "s"),
    ]


def test_the_webhook_is_shown_only_if_it_is_watched() -> None:
    """Not everybody has one."""
    assert stage("webhook", measured(webhook=[a_consumer()])).state == "ok"
    assert stage("webhook", measured(webhook=[SILENT])).state == "wrong"


@pytest.mark.parametrize(
    ("what", "state"),
    [
        (measured(sync=[SILENT]), "wrong"),
        (measured(sync=[a_consumer(oldest_waiting_s=40.0)]), "warning"),
        (measured(None), "warning"),
        (measured(sync=[a_consumer(oldest_waiting_s=400.0)]), "wrong"),
    ],
)
def test_the_pipeline_is_as_well_as_its_worst_stage(what: Measured, state: str) -> None:
    """Not to know is a warning."""
    assert stated(what).state == state


def test_nothing_of_a_process_that_does_not_answer_is_shown() -> None:
    """Its last number is not repeated."""
    found = stated(measured([SILENT], sync=[SILENT], archive=[SILENT], counters=[SILENT]))
    assert [stage.number for stage in found.stages] == ["0", None, None, None, None, None]
    assert "ok" not in {stage.state for stage in found.stages}


def test_an_age_that_one_process_does_not_know_leaves_the_oldest_unknown() -> None:
    """The other one may be the smaller."""
    found = stage("database", measured(sync=[a_consumer(), a_consumer(oldest_waiting_s=None)]))
    assert (found.state, found.number) == ("unknown", None)


def test_the_age_of_a_batch_is_not_a_lag() -> None:
    """The archive makes a segment of a minute by default."""
    archive = [a_consumer(oldest_waiting_s=75.0, batch_age_s=60.0)]
    assert stage("archive", measured(archive=archive)).state == "ok"


def test_since_is_when_the_state_was_seen_to_change() -> None:
    """Unless the processes say it; the beginning of the first state is not known."""
    timeline = Timeline()

    def since(what: Measured, minutes: int) -> datetime | None:
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
    found = stage("database", measured(sync=[NoAnswer(NOW - timedelta(days=1))]))
    assert "since 2026-11-27 14:42" in found.what.en


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


def test_the_reasons_that_are_recognized_are_those_of_an_ingress() -> None:
    """It and the statistics API may not import each other."""
    ingress = DOCS.parent / "ingress"
    assert f'return "{STOPPING}"' in (ingress / "health.py").read_text()
    assert f'self.fault = "{NOT_CONNECTED}"' in (ingress / "forward/forwarder.py").read_text()
