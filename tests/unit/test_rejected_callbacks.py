"""What a consumer rejected is a fault only while dead letters of it may wait."""

from dataclasses import replace

import pytest
from support.pipeline_states import a_consumer, stage, with_kafka

from consumers.stats.dead_letter_counts import Cause, DeadLetters


@pytest.mark.parametrize(
    ("dead_letters", "state"),
    [
        ("no right", "warning"),
        (DeadLetters(counts={Cause("sync", "DataError"): 1}), "warning"),
        (DeadLetters(counts={Cause("other", "other"): 1}), "warning"),
        (DeadLetters(recent=None, is_complete=False), "warning"),
        (DeadLetters(is_complete=False), "ok"),
        (DeadLetters(counts={Cause("ingress", "NotJson"): 1}), "ok"),
        (DeadLetters(), "ok"),
    ],
    ids=[
        "unknown",
        "waits",
        "any sender",
        "newest not read",
        "older not read",
        "of another sender",
        "none",
    ],
)
def test_rejected_callbacks_that_were_sent_again_are_no_fault(
    dead_letters: DeadLetters | str, state: str
) -> None:
    """The process remembers the last 1000 records; Kafka knows which dead letters wait."""
    what = with_kafka(dead_letters=dead_letters)
    rejecting = [a_consumer(name="sync", rejected_lately=3)]
    found = stage("database", replace(what, consumers={**what.consumers, "sync": rejecting}))
    assert found.state == state
    if state == "warning":
        assert found.what.en == (
            "The consumer sync rejected 3 of the last callbacks. They are not lost, but in the "
            "dead-letter topic, and PostgreSQL lacks those that were not sent again."
        )
        assert "PostgreSQL 仍缺少" in found.what.zh
