"""The answers about a sink: those of the processes of one consumer group, and of Kafka. No I/O."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumers.runtime.status import ConsumerStatus
from consumers.stats.findings import Values
from consumers.stats.process_statuses import ProcessStatuses, Replicas, SilentProcess
from schemas.topics import CALLBACKS

# The consumer that has a group, and so a sink, for each target.
WEBHOOK = "webhook"
# The retention that `hookline topics apply` sets, while Kafka does not say that of the topic.
KEPT_S = CALLBACKS.retention_days * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """
    The answers about the sink of a consumer group. A time is None if it is not known.

    `group` is `name`, but `webhook-TARGET` for a webhook; it is `webhook` if all processes in
    `replicas` are silent, and never reported it. `addresses` are those of `answers`, in this order.
    `members` are the processes that have partitions. `since_receipt_s` is the time since the
    receipt of the callback that the sink gets next, and `in_kafka_s` for how long the oldest record
    that is not in the sink has been in Kafka. If the group has members, both times are theirs.
    Otherwise both are `unread_s`: the age of the first record that the group has not read, as Kafka
    reported it some seconds ago. It may be longer unless `is_unread_s_exact`: Kafka did not answer
    for all partitions. A silent process may still have partitions: while there is one, both times
    are at least `unread_s`.
    """

    name: str
    group: str
    measured: ProcessStatuses
    answers: Sequence[ConsumerStatus | SilentProcess]
    addresses: Sequence[str]
    replicas: Replicas[ConsumerStatus]
    members: Sequence[ConsumerStatus]
    since_receipt_s: float | None
    in_kafka_s: float | None
    unread_s: float | None
    is_unread_s_exact: bool

    @property
    def now(self) -> datetime:
        """The time of the answers."""
        return self.measured.now

    @property
    def is_group_known(self) -> bool:
        """False for silent processes of a webhook that never reported their target."""
        return self.name != WEBHOOK or self.group != self.name

    @property
    def retention_s(self) -> float | None:
        """For how many seconds Kafka keeps callbacks; None if Kafka does not say it."""
        facts = self.measured.kafka_facts
        return facts.retention_s if facts else None

    @property
    def kept_s(self) -> float:
        """For how many seconds Kafka keeps callbacks, by default if it does not say it."""
        return KEPT_S if self.retention_s is None else self.retention_s

    @property
    def oldest_record_s(self) -> float | None:
        """
        Seconds for which Kafka has had the oldest record that is not in the sink, at least.

        They are 0.0 if there is none, and None if nothing is known. A process that has started
        while its sink is down knows only since when it has lagged: then Kafka knows more.
        """
        if self.in_kafka_s == 0.0:
            return 0.0
        known_s = [one_s for one in self.members if (one_s := time_in_kafka_s(one)) is not None]
        known_s += [] if self.unread_s is None else [self.unread_s]
        return max(known_s, default=None)

    @property
    def lost_in_s(self) -> float | None:
        """
        Seconds until Kafka deletes the oldest record that is not in the sink, 0.0 if it may have.

        None if there is no such record, or if a time is not known.
        """
        oldest_s, retention_s = self.oldest_record_s, self.retention_s
        if retention_s is None or not oldest_s:
            return None
        left_s = max(0.0, retention_s - oldest_s)
        return left_s if self._is_oldest_known or left_s == 0.0 else None

    @property
    def _is_oldest_known(self) -> bool:
        """Whether `oldest_record_s` may not be longer, as far as the processes know."""
        do_members_know = self.in_kafka_s is not None and not self.replicas.unanswered
        return do_members_know or self.is_unread_s_exact

    def kafka_values(self, since: datetime | None = None) -> Values:
        """
        Return the values of a text: for how long Kafka still keeps the records that wait.

        If Kafka does not report their age, they may have waited since `since`, when a fault began,
        or for longer: the consumer may have lagged before.
        """
        oldest_s = self.oldest_record_s
        if since and self.unread_s is None:
            oldest_s = max(oldest_s or 0.0, (self.now - since).total_seconds())
        room_s = max(0.0, self.kept_s - (oldest_s or 0.0))
        retention = "default_retention" if self.retention_s is None else "retention"
        if room_s == 0.0:
            phrase_name = "expires"
        elif not self._is_oldest_known:
            phrase_name = "waits_unknown_time"
        else:
            phrase_name = "kept_by_default" if self.retention_s is None else "kept"
        return {
            "room": room_s,
            "kept": self.kept_s,
            "in_kafka": phrase_name,
            "retention": retention,
        }


def sinks(name: str, measured: ProcessStatuses) -> list[Sink]:
    """Return the sinks of the consumer `name`: one, but as many as targets of a webhook."""
    answers = measured.consumers.get(name, ())
    addresses = measured.consumer_addresses.get(name) or [""] * len(answers)
    by_group: dict[str, list[tuple[str, ConsumerStatus | SilentProcess]]] = {}
    for address, answer in zip(addresses, answers, strict=True):
        by_group.setdefault(_group(name, answer), []).append((address, answer))
    return [
        _sink(name, group, measured, processes)
        for group, processes in sorted(by_group.items() or [(name, [])])
    ]


def _group(name: str, answer: ConsumerStatus | SilentProcess) -> str:
    """Return the group of a process, `name` if that is not known."""
    if name != WEBHOOK:
        return name
    return (answer.group if isinstance(answer, SilentProcess) else answer.name) or name


def _sink(
    name: str,
    group: str,
    measured: ProcessStatuses,
    processes: Sequence[tuple[str, ConsumerStatus | SilentProcess]],
) -> Sink:
    answers = [answer for _, answer in processes]
    replicas = Replicas.of(answers)
    members = [one for one in replicas.statuses if one.partitions]
    unread_s, is_exact = _unread(group, measured)
    exact_s = unread_s if is_exact else None
    since_receipt_s = in_kafka_s = exact_s
    if members:
        silent_s = (unread_s or 0.0) if replicas.unanswered else 0.0
        since_receipt_s = _longest((silent_s, *(one.oldest_waiting_s for one in members)))
        in_kafka_s = _longest((silent_s, *map(time_in_kafka_s, members)))
    return Sink(
        name=name,
        group=group,
        measured=measured,
        answers=answers,
        addresses=[address for address, _ in processes],
        replicas=replicas,
        members=members,
        since_receipt_s=since_receipt_s,
        in_kafka_s=in_kafka_s,
        unread_s=unread_s,
        is_unread_s_exact=is_exact,
    )


def time_in_kafka_s(status: ConsumerStatus) -> float | None:
    """
    Return for how long the oldest record that is not in the sink has been in Kafka.

    A process of release 0.1 does not report it. The time since the receipt is not less.
    """
    known_s = status.oldest_in_kafka_s
    return status.oldest_waiting_s if known_s is None else known_s


def _unread(group: str, measured: ProcessStatuses) -> tuple[float | None, bool]:
    """
    Return for how long Kafka has had the oldest record that a group has not read, 0.0 if none.

    It is None if Kafka does not say it, and may be longer if the second is False.
    """
    facts = measured.kafka_facts
    if facts is None or group not in facts.unread_since:
        return None, False
    since = facts.unread_since[group]
    age_s = max(0.0, (measured.now - since).total_seconds()) if since else 0.0
    return age_s, group not in facts.may_be_unread_longer


def _longest(times_s: Iterable[float | None]) -> float | None:
    """Return the longest time, None if one is not known: it may be the longest."""
    times_s = list(times_s)
    known = [time_s for time_s in times_s if time_s is not None]
    return max(known, default=None) if len(known) == len(times_s) else None
