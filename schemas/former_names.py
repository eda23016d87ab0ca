"""Read the `/status` of a process of this or an earlier release: an upgrade has both together."""

from typing import Any, TypeVar

import msgspec

Status = TypeVar("Status")
# The fields of 0.1.x that have another name since, of an ingress and of a consumer.
PRESENT_NAMES = {
    "forwarded": "forwarded_sequence",
    "secrets_fault": "tokens_fault",
    "partitions_paused": "partitions_backing_off",
}


def status_of(content: Any, kind: type[Status]) -> Status:
    """
    Return the JSON `content` of a `/status` as a `kind`, also if fields have their former names.

    Raises:
        msgspec.ValidationError: it is not the status of such a process, or of another release.
    """
    if isinstance(content, dict):
        content = {PRESENT_NAMES.get(name, name): value for name, value in content.items()}
    return msgspec.convert(content, kind)
