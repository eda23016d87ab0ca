"""Declare the topics; `hookline topics apply` creates and configures them in the cluster."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.settings import BODY_BYTES_LIMIT

TOPIC_CHARACTERS_MAX = 249
_TOPIC_NAME = re.compile(rf"(?!\.{{1,2}}$)[a-zA-Z0-9._-]{{1,{TOPIC_CHARACTERS_MAX}}}")
# Room for key, headers and batch framing around the largest body that the ingress accepts.
RECORD_OVERHEAD_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """
    A Kafka topic as other teams see it. A new version of the record gets a new name.

    If `takes_largest`, its limit is that of the largest record that any HOOKLINE_BODY_BYTES_MAX
    allows, with added headers. Otherwise it is that of the HOOKLINE_BODY_BYTES_MAX at hand.
    """

    name: str
    partitions: int
    retention_days: int
    takes_largest: bool = False

    def configs(self, *, body_bytes_max: int) -> Mapping[str, str]:
        """
        Return the configuration of the topic, by Kafka's names.

        Its timestamps are LogAppendTime, because a record may wait in a spool for days: with the
        time of receipt as its timestamp, retention could delete it on arrival.
        """
        bytes_max = record_bytes_max(body_bytes_max)
        if self.takes_largest:
            bytes_max = EXTENDED_RECORD_BYTES_LIMIT
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(bytes_max),
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(self.retention_days * 24 * 3600 * 1000),
        }


def is_topic_name(name: str) -> bool:
    """Return whether Kafka allows a topic with this name."""
    return _TOPIC_NAME.fullmatch(name) is not None


def record_bytes_max(body_bytes_max: int) -> int:
    """Return the size of the largest record, which brokers and producers must accept."""
    return body_bytes_max + RECORD_OVERHEAD_BYTES


# The size of the largest record after a consumer has extended it by headers. It does not depend on
# HOOKLINE_BODY_BYTES_MAX: that of the ingress may be larger than that of the consumer.
EXTENDED_RECORD_BYTES_LIMIT = record_bytes_max(BODY_BYTES_LIMIT) + RECORD_OVERHEAD_BYTES


CALLBACKS = Topic(name="tim.callbacks.v1", partitions=6, retention_days=7)
# The main topic refuses a record if it was applied with a smaller HOOKLINE_BODY_BYTES_MAX than the
# ingress has. This topic must take it then.
DEAD_LETTERS = Topic(
    name="tim.callbacks.dead.v1", partitions=1, retention_days=30, takes_largest=True
)
# The actions of `hookline dead-letters`. They are kept longer than dead letters: without an action,
# a callback of the ingress that was sent again would seem to be doubled.
ACTIONS = Topic(name="tim.callbacks.dead.actions.v1", partitions=1, retention_days=365)
TOPICS = (CALLBACKS, DEAD_LETTERS, ACTIONS)
