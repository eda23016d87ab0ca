"""Compare the ACLs in Kafka with those that a file wants. Does no I/O."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ops.acls.entry import AclEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class AclPlan:
    """
    What an apply does, and what it leaves.

    `added` are wanted and not in Kafka, `kept` wanted and there. `unwanted` were made by an earlier
    apply, and no file wants them now. `uncertain` are not wanted either, but an apply was ended
    while it created or deleted them, so they may be of others. `gone` were noted by an earlier
    apply, and are not there: their next maker is another one. All other ACLs are `foreign`.
    """

    added: list[AclEntry]
    kept: list[AclEntry]
    unwanted: list[AclEntry]
    uncertain: list[AclEntry]
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
        uncertain = f", {len(self.uncertain)} uncertain" if self.uncertain else ""
        yield (
            f"ACLs: {len(self.added)} new, {len(self.kept)} unchanged, {len(self.unwanted)} not"
            f" wanted any more{uncertain}, {len(self.foreign)} of others untouched"
        )


def plan_acls(
    wanted: Collection[AclEntry],
    made: Collection[AclEntry],
    present: Collection[AclEntry],
    *,
    uncertain: Collection[AclEntry] = (),
) -> AclPlan:
    """
    Return how the ACLs in Kafka become the `wanted` ones.

    `made` are those that earlier applies made, `present` those in Kafka; see AclPlan for
    `uncertain`. An entry that is wanted, and was there before any apply wanted it, is kept, and
    stays foreign: no apply ever removes it.
    """
    wanted, made, present, uncertain = set(wanted), set(made), set(present), set(uncertain)
    return AclPlan(
        added=sorted(wanted - present),
        kept=sorted(wanted & present),
        unwanted=sorted((made & present) - wanted),
        uncertain=sorted((uncertain & present) - wanted),
        gone=sorted((made | uncertain) - present - wanted),
        foreign=sorted(present - made - uncertain - wanted),
    )
