"""A plan of ACLs leads to the wanted ones, and touches none of others."""

import random
from collections.abc import Callable

from support.acls.foreign_states import foreign_state
from support.kafka.access import plaintext

from ops.acls.entry import AclEntry, decoded, encoded
from ops.acls.plan import plan_acls
from ops.acls.table import AclTable, Subscriber


def tables(seed: int) -> tuple[AclTable, AclTable]:
    """Return a table, and the same after some changes."""
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    names = [f"User:p{number}" for number in range(6)]

    def table() -> AclTable:
        return AclTable(
            services={
                name: draw.sample(names, draw.randrange(1, 3))
                for name in draw.sample(("ingress", "archive", "sync", "operator", "topics"), 3)
            },
            webhooks={draw.choice(("crm", "crm-2")): [draw.choice(names)]},
            subscribers=[
                Subscriber(f"User:s{draw.randrange(3)}", ["tim.callbacks.v1"], "team-")
                for _ in range(draw.randrange(3))
            ],
        )

    return table(), table()


def test_no_acl_of_others_is_touched(
    scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """The wanted ones are there afterwards, and those that only an earlier table had are not."""
    states = scaled(200)
    removed = alike = 0
    for seed in range(states):
        before, after = (table.entries(plaintext("")) for table in tables(seed))
        draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
        # Some of those that are wanted were there before; others removed some of ours by hand.
        there_before = set(draw.sample(sorted(after), len(after) // 4)) - before
        foreign = foreign_state(seed, before | after) | there_before
        taken_away = set(draw.sample(sorted(before), len(before) // 8))
        present = foreign | (before - taken_away)
        # Commands were ended while they made some of the first table's.
        uncertain = set(draw.sample(sorted(before), len(before) // 8))
        plan = plan_acls(after, before - uncertain, present, uncertain=uncertain)
        left = (present | set(plan.added)) - set(plan.unwanted)
        assert foreign <= left
        assert set(plan.foreign) == foreign - after
        assert set(plan.uncertain) == (uncertain & present) - after
        assert left == foreign | after | set(plan.uncertain)
        assert set(plan.gone) == taken_away - after
        removed += len(plan.unwanted)
        alike += len(foreign)
    say(f"{states} states: {alike} ACLs of others untouched, {removed} of ours removed")
    assert removed > states


def test_the_acls_of_kafkas_own_topics_are_kept_if_there_are_other_pipelines() -> None:
    """Another one's record does not have those that the first one made for the same principal."""
    kafka = plaintext("")
    ours = AclTable(services={"ingress": ["User:a"]}).entries(kafka)
    left = AclTable(services={"archive": ["User:b"]}).entries(kafka)
    internal = {entry for entry in ours if entry.name.startswith("__")}
    assert {entry.name for entry in internal} == {"__consumer_offsets", "__transaction_state"}
    plan = plan_acls(left, ours | left, ours | left, has_others=True)
    assert (set(plan.shared), set(plan.unwanted)) == (internal, ours - left - internal)
    lines = list(plan.lines(is_dry_run=False, allows_deletion=True))
    assert f", {len(internal)} kept for other pipelines, " in lines[-1]
    assert sum("another pipeline on this cluster may need" in line for line in lines) == len(
        internal
    )
    alone = plan_acls(left, ours | left, ours | left)
    assert (alone.shared, set(alone.unwanted)) == ([], ours - left)


def test_an_acl_is_known_again_by_its_key(scaled: Callable[..., int]) -> None:
    """Also one with numbers that a later Kafka may have."""
    for seed in range(scaled(50)):
        ours = tables(seed)[0].entries(plaintext(""))
        for entry in ours | foreign_state(seed, ours):
            assert decoded(encoded(entry)) == entry
    later = AclEntry(99, "x", 9, "User:x", "*", 77, 5)
    assert decoded(encoded(later)) == later
    assert str(later) == "User:x may Operation 77 ResourceType 99 x"
