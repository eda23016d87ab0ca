"""Since when Kafka fails is not since when the oldest callback waits on an ingress's disk."""

from datetime import timedelta
from typing import Any

from support.pipeline_states import DAY_S, NOW, an_ingress, measured, stage

from consumers.stats.health_answers import Stage
from schemas.ingress_status import NOT_CONNECTED


def kafka(**fields: Any) -> Stage:
    """Return the stage of Kafka if both ingresses have these fields."""
    return stage("kafka", measured([an_ingress(**fields), an_ingress(**fields)]))


def test_kafka_fails_since_the_first_failure() -> None:
    """The oldest callback may have been received days before by an ingress that was down since."""
    fields = {"forward_fault": "no broker answers", "oldest_waiting_s": 6 * DAY_S}
    assert kafka(**fields, forward_fault_for_s=60.0).since == NOW - timedelta(seconds=60)
    # Of an earlier release, only the age of the callback is known.
    assert kafka(**fields).since == NOW - timedelta(days=6)
    connecting = kafka(**fields | {"forward_fault": NOT_CONNECTED})
    assert (connecting.state, connecting.since) == ("warning", None)


def test_callbacks_that_wait_on_disk_do_not_prove_that_kafka_is_slow() -> None:
    """They may be those of an outage that is over."""
    found = kafka(oldest_waiting_s=6 * DAY_S)
    # It is another callback at each look, so the stage is not as it is since then.
    assert (found.state, found.since) == ("warning", None)
    assert "the oldest for 6 days" in found.what.en
    assert "最早的已等待 6 天" in found.what.zh
    assert "or Kafka or the ingress was down and they are forwarded now" in found.what.en
