"""The statuses that the processes of the pipeline report, as of one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import msgspec

from consumers.runtime.status import ConsumerStatus
from schemas.ingress_status import SpoolSummary

if TYPE_CHECKING:
    from consumers.stats.kafka_facts import KafkaFacts


class TokenUse(msgspec.Struct, frozen=True, kw_only=True):
    """The use of a token of an app; see docs/monitoring.md."""

    sdkappid: str = ""
    place: int = 0
    fingerprint: str = ""
    uses: int = 0
    last_used_ago_s: float | None = None
    unused_for_s: float | None = None


class SenderFailures(msgspec.Struct, frozen=True, kw_only=True):
    """The answers other than OK, of one kind, to one address; see docs/monitoring.md."""

    answer: str
    address: str
    count: int = 0
    last_ago_s: float = 0.0
    reason: str = ""


class IngressStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    The fields of an ingress's /status that are looked at; see docs/monitoring.md.

    An earlier release does not send the fields with a default.
    """

    unready_because: str
    forward_fault: str
    oldest_waiting_s: float | None
    spool_rows: int
    spool_bytes: int
    spool_bytes_max: int
    spool_full_in_s: float | None
    spools: tuple[SpoolSummary, ...]
    origin: str = ""
    last_sequence: int | None = None
    forwarded_sequence: int | None = None
    tokens_fault: str = ""
    spool_disk_free_bytes: int | None = None
    stored_per_s: float | None = None
    forwarded_per_s: float | None = None
    forward_failures_of_all_spools: int | None = None
    forward_fault_for_s: float | None = None
    tokens: tuple[TokenUse, ...] = ()
    apps_without_token: tuple[str, ...] = ()
    apps_not_in_tokens_file: tuple[str, ...] = ()
    failures_by_sender: tuple[SenderFailures, ...] = ()


@dataclass(frozen=True, slots=True)
class SilentProcess:
    """
    A process that does not answer, or Kafka if this process cannot use it.

    `since` is its last answer, None if it never gave one. `because` is empty if nothing is known,
    and so is `group`, the consumer group of the process.
    """

    since: datetime | None = None
    because: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of /readyz: whether the process is ready, and a line about it."""

    is_ready: bool
    text: str


Status = TypeVar("Status")
Answers: TypeAlias = Sequence[Status | SilentProcess]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatuses:
    """
    The answers of all processes.

    `ingress` is None, or a consumer is absent in `consumers`, if no setting has its address.
    `valkey` is None if the Valkey of the counts answers, or is not asked. The gateway, the
    statistics API and Kafka are None if they are not asked. The addresses are those of the answers,
    in the same order.
    """

    now: datetime
    ingress: Answers[IngressStatus] | None
    consumers: Mapping[str, Answers[ConsumerStatus]] = field(default_factory=dict)
    valkey: SilentProcess | None = None
    gateway: Readiness | SilentProcess | None = None
    statistics: Readiness | SilentProcess | None = None
    kafka: "KafkaFacts | SilentProcess | None" = None
    ingress_addresses: Sequence[str] = ()
    consumer_addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def kafka_facts(self) -> "KafkaFacts | None":
        """The answer of Kafka, None without one."""
        return None if isinstance(self.kafka, SilentProcess) else self.kafka


@dataclass(frozen=True, slots=True)
class Replicas(Generic[Status]):
    """The answers of the processes of one kind."""

    statuses: Sequence[Status]
    unanswered: Sequence[SilentProcess]

    @classmethod
    def of(cls, answers: Answers[Status]) -> "Replicas[Status]":
        """Sort the answers."""
        return cls(
            [answer for answer in answers if not isinstance(answer, SilentProcess)],
            [answer for answer in answers if isinstance(answer, SilentProcess)],
        )

    @property
    def count(self) -> int:
        """The number of processes."""
        return len(self.statuses) + len(self.unanswered)

    @property
    def silent_since(self) -> datetime | None:
        """The time since which processes do not answer: of the first, or of the last if all do."""
        known = [answer.since for answer in self.unanswered if answer.since]
        if not known:
            return None
        return min(known) if self.statuses else max(known)
