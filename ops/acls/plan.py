"""Compare the ACLs in Kafka with those that a file wants. Does no I/O."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ops.acls.entry import AclEntry, ResourceType
from ops.acls.rights import INTERNAL_TOPICS


@dataclass(frozen=True, slots=True, kw_only=True)
class AclPlan:
    """
    What an apply does, and what it leaves.

    `added` are wanted and not in Kafka, `kept` wanted and there. `unwanted` were made by an earlier
    apply, and no file wants them now. `uncertain` are not wanted either, but an apply was ended
    while it created or deleted them, so they may be of others. `gone` were noted by an earlier
    apply, but are deleted since. If somebody creates them again, that is not this command, so the
    notes are forgotten. `shared` are not wanted either, but other pipelines may need them. All
    other ACLs are `foreign`.
    """

    added: list[AclEntry]
    kept: list[AclEntry]
    unwanted: list[AclEntry]
    uncertain: list[AclEntry]
    shared: list[AclEntry]
    gone: list[AclEntry]
    foreign: list[AclEntry]

    def lines(self, *, is_dry_run: bool, allows_deletion: bool) -> Iterator[str]:
        """Yield a line for each change, and one that counts the rest."""
        for entry in self.added:
            yield f"ACL {entry}: {'would be created' if is_dry_run else 'created'}"
        for entry in self.unwanted:
            if not allows_deletion:
                yield f"ACL {entry}: not wanted any more (to remove it: --allow-delete)"
            else:
                yield f"ACL {entry}: {'would be removed' if is_dry_run else 'removed'}"
        for entry in self.uncertain:
            yield (
                f"ACL {entry}: not wanted, but kept: a command was ended while it created or"
                " removed this ACL, so it may be of others (to remove it: kafka-acls.sh)"
            )
        for entry in self.shared:
            yield (
                f"ACL {entry}: not wanted any more, but kept: its topic is Kafka's own, so another"
                " pipeline on this cluster may need the ACL (to remove it: kafka-acls.sh)"
            )
        shared = f", {len(self.shared)} kept for other pipelines" if self.shared else ""
        uncertain = f", {len(self.uncertain)} uncertain" if self.uncertain else ""
        yield (
            f"ACLs: {len(self.added)} new, {len(self.kept)} unchanged, {len(self.unwanted)} not"
            f" wanted any more{uncertain}{shared}, {len(self.foreign)} of others untouched"
        )


def plan_acls(
    wanted: Collection[AclEntry],
    made: Collection[AclEntry],
    present: Collection[AclEntry],
    *,
    uncertain: Collection[AclEntry] = (),
    has_others: bool = False,
) -> AclPlan:
    """
    Return how the ACLs in Kafka become the `wanted` ones.

    `made` are those that earlier applies made, `present` those in Kafka; see AclPlan for
    `uncertain`. An entry that is wanted, and was there before any apply wanted it, is kept, and
    stays foreign: no apply ever removes it.

    `has_others`: other pipelines are on the cluster. The ACLs on Kafka's own topics have the same
    names in each of them, and only the first pipeline has noted them as made.
    """
    wanted, made, present, uncertain = set(wanted), set(made), set(present), set(uncertain)
    unwanted = (made & present) - wanted
    shared = set(filter(_is_internal, unwanted)) if has_others else set()
    return AclPlan(
        added=sorted(wanted - present),
        kept=sorted(wanted & present),
        unwanted=sorted(unwanted - shared),
        shared=sorted(shared),
        uncertain=sorted((uncertain & present) - wanted),
        gone=sorted((made | uncertain) - present - wanted),
        foreign=sorted(present - made - uncertain - wanted),
    )


def _is_internal(entry: AclEntry) -> bool:
    return entry.resource_type == ResourceType.TOPIC and entry.name in INTERNAL_TOPICS
