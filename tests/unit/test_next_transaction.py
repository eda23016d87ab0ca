"""A row that Kafka refuses becomes a dead letter, unless it is one already."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from ingress.forward.next_transaction import NextTransaction
from schemas.outgoing_record import OutgoingRecord
from schemas.topics import CALLBACKS, DEAD_LETTERS


@pytest.mark.parametrize(("topic", "is_replaced"), [(CALLBACKS, True), (DEAD_LETTERS, False)])
def test_a_refused_row_is_replaced_once(topic: Any, *, is_replaced: bool) -> None:
    """A malformed callback keeps its reason: it is quarantined, not sent as another dead letter."""
    record = OutgoingRecord(topic=topic.name, key=None, headers=[], value=b"{}")
    spool: Any = SimpleNamespace(
        state=SimpleNamespace(origin="a"),
        rows_after=lambda *_, **__: [SimpleNamespace(record=record)],
    )
    alone: Any = SimpleNamespace(row_count=1, last_sequence=7)
    following = NextTransaction(spool)
    assert following.shrink_or_replace(alone, MessageSizeTooLargeError()) is is_replaced
    assert list(following.dead_letters) == ([7] if is_replaced else [])
    assert not following.shrink_or_replace(alone, MessageSizeTooLargeError())
