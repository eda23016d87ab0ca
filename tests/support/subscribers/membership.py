"""The partitions of a group's members, and its committed offsets, as Kafka reports them."""

from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from support.kafka.admin import admin_client

from schemas.topics import CALLBACKS


async def partitions_by_member(kafka: str, group: str) -> dict[str, set[int]]:
    """Return the partitions of each member of a stable group; {} while it rebalances."""
    async with admin_client(kafka) as admin:
        described: Any = (await admin.describe_consumer_groups([group]))[0]
    _, _, state, _, _, members, *_ = described.groups[0]
    if state != "Stable":
        return {}
    return {member_id: _partitions(assignment) for member_id, _, _, _, assignment, *_ in members}


def _partitions(assignment: bytes) -> set[int]:
    decoded: Any = ConsumerProtocolMemberAssignment.decode(assignment)
    return {partition for _, partitions in decoded.assignment for partition in partitions}


async def committed_offsets(kafka: str, group: str) -> dict[int, int]:
    """Return the committed offset of each partition of the main topic."""
    async with admin_client(kafka) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
    return {
        place.partition: at.offset for place, at in offsets.items() if place.topic == CALLBACKS.name
    }
