"""The text about Kafka claims nothing that the other parts deny, and nothing that none reports."""

import re
from dataclasses import replace
from typing import Any

import pytest
from support.pipeline_states import (
    BRAKED,
    CONSUMERS,
    FULL,
    FULL_WITHOUT_KAFKA,
    JOINING,
    NOW,
    REJECTED,
    SILENT,
    stage,
    with_all,
    with_kafka,
)

from consumers.stats.health_answers import Stage
from consumers.stats.process_statuses import ProcessStatuses
from schemas.ingress_status import NOT_CONNECTED, STOPPING

STUCK: dict[str, Any] = {"forward_fault": REJECTED, "forward_fault_for_s": 60.0}


def claims_that_nothing_is_lost(shown_stage: Stage) -> bool:
    """Return whether the text says so of all callbacks, also of those that are not answered OK."""
    texts = shown_stage.what
    claims = "Nothing is lost" in texts.en
    assert claims is bool(re.search("没有丢失.回调", texts.zh))
    return claims


@pytest.mark.parametrize("unready", [FULL, {"unready_because": "I/O error"}])
@pytest.mark.parametrize("fills", [{}, {"spool_full_in_s": 600.0}])
def test_an_outage_of_kafka_loses_callbacks_once_replicas_refuse_them(
    unready: dict[str, Any], fills: dict[str, Any]
) -> None:
    """It is how a long outage ends: Receiving says that callbacks are refused."""
    before = stage("kafka", with_all(**STUCK, **fills))
    assert claims_that_nothing_is_lost(before)
    what = with_all(**STUCK, **fills, **unready)
    assert stage("receiving", what).state == "wrong"
    after = stage("kafka", what)
    assert after.state == "wrong"
    assert not claims_that_nothing_is_lost(after)
    assert "Callbacks that were answered OK are on disk and are not lost" in after.what.en
    assert REJECTED in after.what.en


@pytest.mark.parametrize(
    "fields",
    [
        {"forward_fault": NOT_CONNECTED},
        {"oldest_waiting_s": 2400.0},
        {"unready_because": STOPPING, **STUCK},
    ],
)
def test_no_text_of_kafka_speaks_for_replicas_that_are_full(fields: dict[str, Any]) -> None:
    """Not while the ingress connects, or forwards what had waited, either."""
    shown_stage = stage("kafka", with_all(**FULL | fields))
    assert shown_stage.state != "ok"
    assert not claims_that_nothing_is_lost(shown_stage)
    assert not claims_that_nothing_is_lost(stage("kafka", FULL_WITHOUT_KAFKA))


def test_a_kafka_that_this_process_reads_can_be_used() -> None:
    """Without a consumer, and with an ingress that lacks the right to write."""
    what = replace(with_all(**STUCK, spool_full_in_s=1e5), consumers={})
    assert stage("kafka", what).what.en.startswith("Kafka cannot be used")
    read = stage("kafka", replace(what, kafka=with_kafka().kafka))
    assert read.what.en.startswith("Callbacks do not get to Kafka")


@pytest.mark.parametrize("kafka", [None, SILENT])
@pytest.mark.parametrize("consumer", [JOINING, BRAKED])
def test_consumers_that_join_or_have_stopped_do_answer(consumer: Any, kafka: Any) -> None:
    """They only do not say whether Kafka works."""
    consumers = {name: [consumer] for name in CONSUMERS}
    what = ProcessStatuses(now=NOW, ingress=[SILENT], consumers=consumers, kafka=kafka)
    shown_stage = stage("kafka", what)
    assert shown_stage.state == "unknown"
    assert "no consumer reports that it reads from Kafka" in shown_stage.what.en
    assert "process that uses it answers" not in shown_stage.what.en
    assert "没有消费者报告能从 Kafka 读取" in shown_stage.what.zh
