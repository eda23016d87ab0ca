"""Generated ACLs of others, many of which differ from ours in a single part."""

import random
from collections.abc import Collection

from ops.acls.entry import CLUSTER, AclEntry, Operation, Pattern, Permission, ResourceType

_OTHERS = (
    ("principal", ("User:other", "Group:other", "User:*")),
    ("host", ("10.0.0.1", "::1")),
    ("pattern", tuple(Pattern)),
    ("operation", tuple(Operation)),
    ("permission", tuple(Permission)),
)


def foreign_entry(draw: random.Random, ours: Collection[AclEntry]) -> AclEntry:
    """Return an ACL that others may have made: much like one of `ours`, or unlike all."""
    near = draw.choice(sorted(ours))
    if draw.random() < 0.7:
        part, values = draw.choice(_OTHERS)
        changed: AclEntry = near._replace(**{part: draw.choice(values)})  # type: ignore[arg-type]
        return changed
    kind = draw.choice(list(ResourceType))
    names = (near.name, near.name[:-1] or "x", "*", "hookline", "名")
    return AclEntry(
        kind,
        CLUSTER if kind is ResourceType.CLUSTER else draw.choice(names),
        draw.choice(list(Pattern)),
        draw.choice((near.principal, "User:other", "User:CN=x,O=y")),
        draw.choice(("*", "10.0.0.1")),
        draw.choice(list(Operation)),
        draw.choice(list(Permission)),
    )


def foreign_state(seed: int, ours: Collection[AclEntry]) -> set[AclEntry]:
    """Return the ACLs of others in one state, none of which is in `ours`."""
    draw = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    made = {foreign_entry(draw, ours) for _ in range(draw.randrange(1, 40))}
    return made - set(ours)
