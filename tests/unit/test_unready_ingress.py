"""An ingress that is not ready may still accept callbacks: no text says that it refuses all."""

from dataclasses import replace
from typing import Any

import pytest
from support.pipeline_states import (
    FULL,
    SILENT,
    WELL,
    an_ingress,
    measured,
    stage,
    with_all,
    with_one,
)
from support.reported import flat, report_of, shown

from consumers.stats.process_statuses import ProcessStatuses, Readiness
from schemas.ingress_status import STOPPING

MAY_BE_REFUSED = "Callbacks are refused now, or may be soon. Callbacks that are not answered OK are"


@pytest.mark.parametrize("reason", [FULL, {"unready_because": STOPPING}, {"unready_because": "x"}])
def test_replicas_that_are_not_ready_may_accept_callbacks(reason: dict[str, Any]) -> None:
    """While one stops, and while its spool drains from full to 95 %."""
    for what in (with_all(**reason), with_one(**reason)):
        for name in ("receiving", "on_disk"):
            shown_stage = stage(name, what)
            text = shown_stage.what.en + shown_stage.what.zh
            assert "New callbacks are lost" not in text
            assert "accepts callbacks" not in text
            assert "新回调会丢失" not in text
            assert "不接收回调" not in text
    assert MAY_BE_REFUSED in stage("receiving", with_all(**reason)).what.en


def test_a_gateway_sends_callbacks_to_an_ingress_that_is_not_ready() -> None:
    """If none is ready."""
    gateway = replace(WELL, gateway=Readiness(is_ready=False, text=""))
    assert MAY_BE_REFUSED in stage("gateway", gateway).what.en


def test_the_rows_of_a_silent_replica_are_not_counted_as_none() -> None:
    """The others say how many there are at least."""
    assert "ok 6 callbacks wait in the spools" in flat(shown(report_of(measured())))
    text = flat(shown(report_of(measured([an_ingress(), SILENT]))))
    assert "at least 3 callbacks wait in the spools" in text


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        (measured(), ("2 of 2 replicas ready", "10.0.0.1:8081 ready ")),
        (with_one(**FULL), ("1 of 2 replicas ready", "10.0.0.1:8081 unready ")),
        (measured([SILENT]), ("0 of 1 replica ready", "10.0.0.0:8081 silent ")),
    ],
)
def test_the_command_says_which_replicas_are_ready(
    what: ProcessStatuses, lines: tuple[str, ...]
) -> None:
    """As `/readyz` of each says."""
    text = flat(shown(report_of(what)))
    for line in lines:
        assert line in text


def test_the_json_says_why_a_replica_is_not_ready() -> None:
    """It does not say that the replica refuses callbacks."""
    ready, stopping = report_of(with_one(unready_because=STOPPING)).ingress
    assert (ready.is_ready, ready.unready_because) == (True, "")
    assert (stopping.is_ready, stopping.unready_because) == (False, STOPPING)


def test_others_that_are_ready_need_not_be_all_others() -> None:
    """One is silent, one is full, and one is ready."""
    what = measured([an_ingress(), an_ingress(**FULL), SILENT])
    text = stage("receiving", what).what.en
    assert text.startswith("1 of 3 replicas are not ready for callbacks. Other replicas are")


def test_a_tokens_file_that_cannot_be_used_refuses_new_tokens() -> None:
    """The former content is used: callbacks with a token that it lacks are not accepted."""
    shown_stage = stage("receiving", with_one(tokens_fault="line 3 is not TOML"))
    assert shown_stage.state == "warning"
    assert "those with a new token are refused, and lost unless" in shown_stage.what.en
    assert "Nothing is lost" not in shown_stage.what.en
    assert "使用新令牌的回调会被拒绝" in shown_stage.what.zh
