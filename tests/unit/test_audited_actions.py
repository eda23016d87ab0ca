"""An audit believes what was noted about dead letters only as far as the sinks agree."""

import pytest
from rich.console import Console
from support.audited_world import ORIGIN, AuditedWorld, a_callback
from support.builders import P0

from ops.audit.output import render
from ops.audit.report import ARCHIVE, COUNTS, INGRESS_DEAD_LETTERS, KAFKA, POSTGRES
from schemas.dead_letter import GROUP, KAFKA_PRODUCE, STAGE
from schemas.dead_letter_actions import Action, ActionResult, Letter

RESENT, DROPPED = ActionResult.RESENT, ActionResult.DROPPED
WITHOUT_2 = (1, 3)


def an_action(
    result: ActionResult, consumer: str, sequence: int = 2, *, origin: str = ORIGIN
) -> Action:
    """Return an action on the dead letter of a callback."""
    return Action(
        at_ms=1,
        by="test",
        consumer=consumer,
        result=result,
        reason="",
        topic_id="topic",
        letters=[Letter(0, 7, origin, sequence)],
    )


def without_2() -> AuditedWorld:
    """Return a world in which no sink has the callback 2, and the topic neither."""
    return AuditedWorld(
        topic=[a_callback(n) for n in WITHOUT_2],
        archive=[a_callback(n) for n in WITHOUT_2],
        receipts=[(ORIGIN, n) for n in WITHOUT_2],
        counts={ORIGIN: {P0.number: (2, 4)}},
        messages=2,
    )


def test_a_callback_of_the_ingress_that_was_sent_again_must_be_everywhere_once() -> None:
    """Without the action it is in both topics; with it, every sink must have it."""
    world = AuditedWorld(dead=[(a_callback(2), {})])
    assert world.audited().origins[0].sinks[KAFKA].doubled_listed == [2]
    world.actions.append(an_action(RESENT, "ingress"))
    report = world.audited()
    assert report.proven
    assert report.origins[0].sinks[INGRESS_DEAD_LETTERS].sequences == 0
    world.topic.append(a_callback(2))
    assert world.audited().origins[0].sinks[KAFKA].doubled_listed == [2]


def test_an_action_proves_nothing_that_the_topic_does_not_have() -> None:
    """It is missing in Kafka and in all sinks, although there is a dead letter of it."""
    world = without_2()
    world.dead.append((a_callback(2), {STAGE: KAFKA_PRODUCE.encode()}))
    assert world.audited().origins[0].sinks[KAFKA].dead_lettered_listed == [2]
    world.actions.append(an_action(RESENT, "ingress"))
    sinks = world.audited().origins[0].sinks
    for sink in (KAFKA, ARCHIVE, POSTGRES):
        assert (sinks[sink].missing_listed, sinks[sink].dead_lettered) == ([2], 0)


def test_what_was_sent_to_a_sink_is_a_dead_letter_until_the_sink_has_it() -> None:
    """The action of sync excuses nothing."""
    world = AuditedWorld(receipts=[(ORIGIN, 1), (ORIGIN, 3)])
    world.dead.append((a_callback(2), {GROUP: b"sync"}))
    world.actions.append(an_action(RESENT, "sync"))
    report = world.audited()
    assert report.origins[0].sinks[POSTGRES].dead_lettered_listed == [2]
    assert not report.proven
    world.receipts.append((ORIGIN, 2))
    assert world.audited().proven


@pytest.mark.parametrize("has_expired", [False, True])
def test_what_was_dropped_is_neither_missing_nor_in_the_sink(*, has_expired: bool) -> None:
    """Only in the sink of its consumer, whether its dead letter is still there or not."""
    world = AuditedWorld(receipts=[(ORIGIN, 1), (ORIGIN, 3)])
    if not has_expired:
        world.dead.append((a_callback(2), {GROUP: b"sync"}))
    world.actions.append(an_action(DROPPED, "counters"))
    assert not world.audited().proven
    world.actions = [an_action(DROPPED, "sync")]
    report = world.audited()
    sink = report.origins[0].sinks[POSTGRES]
    assert (sink.sequences, sink.missing, sink.dead_lettered, sink.dropped) == (2, 0, 0, 1)
    assert (report.proven, report.dropped) == (True, 1)
    # A callback that was dropped and is there all the same is not named.
    world.receipts.append((ORIGIN, 2))
    assert world.audited().dropped == 0


@pytest.mark.parametrize("has_expired", [False, True])
def test_a_dropped_callback_of_the_ingress_is_named(*, has_expired: bool) -> None:
    """Kafka refused it after OK; no sink needs to have it."""
    world = without_2()
    if not has_expired:
        world.dead.append((a_callback(2), {STAGE: KAFKA_PRODUCE.encode()}))
    world.actions.append(an_action(DROPPED, "ingress"))
    report = world.audited()
    assert (report.proven, report.origins[0].sinks[KAFKA].dropped) == (True, 1)


def test_a_dropped_malformed_callback_is_named() -> None:
    """It was not answered OK, but a person has dropped it as well; if it was sent, it is not."""
    world = without_2()
    world.dead.append((a_callback(2), {}))
    assert (world.audited().proven, world.audited().dropped) == (True, 0)
    world.actions.append(an_action(DROPPED, "ingress"))
    report = world.audited()
    assert (report.proven, report.dropped, report.as_dict()["dropped"]) == (True, 1, 1)
    console = Console(width=200)
    with console.capture() as printed:
        console.print(render(report))
    assert "Kafka: 1 dropped by hookline dead-letters drop" in printed.get()
    assert "proven: every callback that has not been dropped is exactly once" in printed.get()


@pytest.mark.parametrize("has_expired", [False, True])
def test_a_dropped_dead_letter_of_the_counters_is_not_missing_there(*, has_expired: bool) -> None:
    """Number and sum are compared without it."""
    world = AuditedWorld(counts={ORIGIN: {P0.number: (2, 4)}}, messages=2)
    if not has_expired:
        world.dead.append((a_callback(2), {GROUP: b"counters"}))
    world.actions.append(an_action(DROPPED, "counters"))
    report = world.audited()
    assert (report.origins[0].sinks[COUNTS].dropped, report.proven) == (1, True)


def test_an_origin_that_only_an_action_has_is_incomplete() -> None:
    """As for every other source: the end of the origin is not known."""
    world = AuditedWorld(actions=[an_action(DROPPED, "sync", origin="unknown")])
    report = world.audited()
    assert (report.has_faults, report.proven, report.names_in_doubt) == (False, False, ["unknown"])
    world.actions = [an_action(RESENT, "ingress", sequence=9)]
    assert world.audited().names_in_doubt == [ORIGIN]
