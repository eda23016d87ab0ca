"""Compare the ACLs in Kafka with those that a file wants. Does no I/O."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ops.acls.entry import AclEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class AclPlan:
    """
    What an apply does, and what it leaves.

    `added` are wanted and not in Kafka, `kept` wanted and there. `unwanted` were made by an earlier
    apply, and no file wants them now. `gone` were made by an earlier apply, and somebody removed
    them: they are forgotten, because their next maker is another one. All other ACLs are `foreign`.
    """

    added: list[AclEntry]
    kept: list[AclEntry]
    unwanted: list[AclEntry]
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
        yield (
            f"ACLs: {len(self.added)} new, {len(self.kept)} unchanged, {len(self.unwanted)} not"
            f" wanted any more, {len(self.foreign)} of others untouched"
        )


def plan_acls(
    wanted: Collection[AclEntry], made: Collection[AclEntry], present: Collection[AclEntry]
) -> AclPlan:
    """
    Return how the ACLs in Kafka become the `wanted` ones.

    `made` are those that earlier applies made, `present` those in Kafka. An entry that is wanted,
    and was there before any apply wanted it, is kept, and stays foreign: no apply ever removes it.
    """
    wanted, made, present = set(wanted), set(made), set(present)
    return AclPlan(
        added=sorted(wanted - present),
        kept=sorted(wanted & present),
        unwanted=sorted((made & present) - wanted),
        gone=sorted(made - present - wanted),
        foreign=sorted(present - made - wanted),
    )
