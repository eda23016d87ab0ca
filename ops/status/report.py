"""
The result of `hookline status`, as JSON prints it; docs/status.md explains each field.

A number that is not known is null. Texts come from the processes, which may have them from others.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

from consumers.stats.health_answers import Stage
from consumers.stats.process_statuses import SenderFailures


class IngressReport(Struct, frozen=True, kw_only=True):
    """A replica of the ingress; without an answer, all but its address is null or empty."""

    address: str
    answers: bool
    is_ready: bool | None = None
    unready_because: str = ""
    stored_per_s: float | None = None
    forwarded_per_s: float | None = None
    oldest_waiting_s: float | None = None
    spool_rows: int | None = None
    spool_bytes: int | None = None
    spool_bytes_max: int | None = None
    spool_full_in_s: float | None = None
    disk_free_bytes: int | None = None
    reaches_kafka: bool | None = None
    forward_fault: str = ""
    forward_failures_of_all_spools: int | None = None
    tokens_fault: str = ""
    token_last_used_ago_s: float | None = None
    apps_without_token: tuple[str, ...] = ()
    apps_not_in_tokens_file: tuple[str, ...] = ()


class TokenReport(Struct, frozen=True, kw_only=True):
    """
    A token, and its use by all replicas of the ingress.

    `replicas` have it in their tokens file. `uses` is their number since each replica started.
    `last_used_ago_s` is null if none of the replicas that answer knows a use. For `unused_for_s` no
    replica has used it; null while this is not known of a replica.
    """

    sdkappid: str
    fingerprint: str
    place: int
    replicas: int
    uses: int
    last_used_ago_s: float | None
    unused_for_s: float | None


class TopicReport(Struct, frozen=True, kw_only=True):
    """
    The topic of the callbacks.

    Of the groups of the consumers that are asked, `slowest_group` has the least time left,
    `unread_lost_in_s`, until Kafka deletes a record that it has not read; 0.0 if Kafka may have
    deleted such records. Both are null if no group is known to have unread records.
    `not_known_because` says why this process gets no answer.
    """

    name: str
    answers: bool
    partitions: int | None = None
    retention_s: float | None = None
    callbacks_per_day: float | None = None
    slowest_group: str | None = None
    unread_lost_in_s: float | None = None
    not_known_because: str = ""


class ProcessReport(Struct, frozen=True, kw_only=True):
    """A process of a consumer; without an answer, all but its address is null or empty."""

    address: str
    answers: bool
    phase: str | None = None
    phase_because: str = ""
    partitions: int | None = None
    lag_offsets: int | None = None
    oldest_waiting_s: float | None = None
    oldest_in_kafka_s: float | None = None
    records_per_s: float | None = None
    retries: int | None = None
    rejected_lately: int | None = None
    stopped_because: str | None = None
    hanging_because: str | None = None
    disk_free_bytes: int | None = None


class ConsumerReport(Struct, frozen=True, kw_only=True):
    """
    A consumer: `members` are its processes that have partitions. Numbers are those of all.

    `name` is its group, `webhook-NAME` for each target of a webhook; without a prefix. It is
    `webhook` for processes that have never answered, so that their target is not known.
    `oldest_waiting_s` is the time since the receipt of the callback that the sink gets next,
    `oldest_in_kafka_s` for how long the oldest record that is not in the sink has been in Kafka.
    """

    name: str
    stage: str
    members: int
    oldest_waiting_s: float | None
    oldest_in_kafka_s: float | None
    unread_lost_in_s: float | None
    records_per_s: float | None
    retries: int | None
    processes: list[ProcessReport]


def slowest_consumer(consumers: Iterable[ConsumerReport]) -> ConsumerReport | None:
    """Return the consumer with the least time left for unread records, None if none is known."""
    # 0.0 is the most urgent time, not one that is not known.
    known = [one for one in consumers if one.unread_lost_in_s is not None]
    return min(known, key=lambda one: (one.unread_lost_in_s, one.name), default=None)


class DeadLetterCount(Struct, frozen=True, kw_only=True):
    """How many dead letters of a component wait, by the exception."""

    component: str
    reason: str
    count: int


class DeadLetterReport(Struct, frozen=True, kw_only=True):
    """
    The dead letters in Kafka that were neither sent again nor dropped.

    `is_complete`: all were counted. If not, `total` may be too small. `recent` and `newest_at` are
    null if the newest ones were not read within 1 s.
    """

    total: int
    recent: int | None
    newest_at: datetime | None
    is_complete: bool
    counts: list[DeadLetterCount]


class StoreReport(Struct, frozen=True, kw_only=True):
    """
    What a store uses. `full_in_s` is until its disk is full, if it grows as in the last day.

    `not_known_because` says why a size is null.
    """

    name: str
    size_bytes: int | None = None
    size_bytes_max: int | None = None
    disk_free_bytes: int | None = None
    bytes_per_day: float | None = None
    full_in_s: float | None = None
    not_known_because: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """The state of the whole pipeline. `stages` are those of /v1/health, in the same words."""

    at: datetime
    state: Literal["ok", "warning", "wrong"]
    exit_code: int
    stages: list[Stage]
    ingress: list[IngressReport]
    topic: TopicReport | None
    consumers: list[ConsumerReport]
    dead_letters: DeadLetterReport | None
    stores: list[StoreReport]
    tokens: list[TokenReport]
    failures_by_sender: list[SenderFailures]
