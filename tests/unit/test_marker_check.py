"""Which answers of a coordinator show that a partition had no leader meanwhile."""

import pytest
from aiokafka.errors import LeaderNotAvailableError, UnknownTopicOrPartitionError

from schemas.marker_check import check_leaders, have_leaders_changed
from schemas.topic_metadata import NO_ID, TOPICS


def answer(
    *, callbacks: list[int], offsets: list[int], leader: int = 1, isr: tuple[int, ...] = (1, 2)
) -> bytes:
    """Return an answer with the epoch of each partition of two topics."""
    return TOPICS.encode(
        (
            [
                (
                    0,
                    name,
                    NO_ID,
                    False,
                    [
                        (0, at, leader, epoch, [1, 2], isr, [], {})
                        for at, epoch in enumerate(epochs)
                    ],
                    0,
                    {},
                )
                for name, epochs in (("callbacks", callbacks), ("__offsets", offsets))
            ],
            {},
        )
    )


BEFORE = answer(callbacks=[4, 0], offsets=[7])


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (BEFORE, False),
        (answer(callbacks=[4, 0], offsets=[7], isr=(1,)), False),
        # A partition that was created meanwhile.
        (answer(callbacks=[4, 0, 0], offsets=[7]), False),
        (answer(callbacks=[4, 0, 2], offsets=[7]), True),
        (answer(callbacks=[4, 2], offsets=[7]), True),
        (answer(callbacks=[4, 0], offsets=[8]), True),
        # A topic that was deleted.
        (answer(callbacks=[4, 0], offsets=[]), True),
    ],
)
def test_only_other_epochs_are_a_change_of_leaders(now: bytes, *, changed: bool) -> None:
    """Other differences between two answers say nothing about markers."""
    assert have_leaders_changed(BEFORE, now) is changed


def test_a_partition_without_a_leader_is_an_error_in_the_topics_of_the_transactions() -> None:
    """Others may be offline for long."""
    offline = answer(callbacks=[4], offsets=[7], leader=-1)
    check_leaders(offline, ["others"])
    with pytest.raises(LeaderNotAvailableError, match="callbacks/0 has no leader now"):
        check_leaders(offline, ["callbacks"])


def test_a_topic_that_does_not_exist_is_an_error() -> None:
    """The forwarder says how to create it."""
    missing = TOPICS.encode(([(3, "callbacks", NO_ID, False, [], 0, {})], {}))
    with pytest.raises(UnknownTopicOrPartitionError):
        check_leaders(missing, ["callbacks"])
