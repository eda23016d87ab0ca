"""The answers to the callbacks that were sent, counted."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar

from ops.simulate.delivery import ANSWER_TIMEOUT_S
from ops.simulate.ledger import FORMER_OTHER_ANSWER, LedgerEntry, Outcome

PERCENTILES = (50, 90, 99, 99.9, 100)
# Answers are counted by at most so many different reasons; the others are counted as OTHER_REASONS.
REASONS_MAX = 100
OTHER_REASONS = "other reasons"
# Callbacks that are sent so late are more than the accuracy of a timer.
LATE_S = 0.1


Key = TypeVar("Key")


@dataclass(slots=True)
class TrafficResult:
    """
    The answers to the callbacks that were sent.

    `answers`: the number by outcome. `not_ok`: the number of callbacks that were not answered OK,
    with another answer or without one, by reason. `second_tries`: the number that were sent to
    a second address, by the reason for which the first try failed. `by_reason`: the number by the
    answer's name and the reason.
    """

    # None: at the recorded times.
    planned_rate: float | None = None
    answers: Counter[Outcome] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    not_ok: Counter[str] = field(default_factory=Counter)
    second_tries: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[tuple[str, str]] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    # The time until the last callback was sent.
    sending_s: float = 0.0
    # The time until the last answer.
    took_s: float = 0.0
    # The time without a free connection.
    waited_s: float = 0.0
    # The longest time from when a callback was due until it was sent.
    late_s_max: float = 0.0
    # Callbacks that were due, but that were not sent before the time was over.
    unsent: int = 0
    # Callbacks that cannot be in a ledger: only their places in the spools identify them.
    without_id: int = 0

    def add(self, entry: LedgerEntry) -> None:
        """Count a callback."""
        self.answers[entry.outcome] += 1
        self.commands[entry.command] += 1
        tries = len(entry.failed_tries) + (entry.outcome is Outcome.OK)
        if tries > 1:
            self.second_tries[entry.failed_tries[0]] += 1
        if entry.outcome is Outcome.OK:
            self.latencies_ms.append(entry.latency_ms)
        else:
            _count(self.not_ok, ", then ".join(entry.failed_tries), OTHER_REASONS)
        reason = (
            entry.failed_tries[-1] if entry.failed_tries and entry.outcome is not Outcome.OK else ""
        )
        name = entry.answer or entry.outcome
        _count(self.by_reason, (name, reason), (name, OTHER_REASONS))
        self.without_id += not entry.id

    @property
    def sent(self) -> int:
        """The number of callbacks that were sent."""
        return sum(self.answers.values())

    @property
    def ok_percent(self) -> float:
        """The share of the callbacks that were answered OK; 100 if none was sent."""
        return 100.0 * self.answers[Outcome.OK] / self.sent if self.sent else 100.0

    @property
    def in_time(self) -> int:
        """The number of callbacks that were answered OK while the vendor would have waited."""
        limit_ms = 1000 * ANSWER_TIMEOUT_S
        return sum(latency_ms <= limit_ms for latency_ms in self.latencies_ms)

    @property
    def late(self) -> int:
        """The number of callbacks whose OK came after the vendor would have given them up."""
        return len(self.latencies_ms) - self.in_time

    @property
    def in_time_percent(self) -> float:
        """The share of the callbacks that were answered OK in time; 100 if none was sent."""
        return 100.0 * self.in_time / self.sent if self.sent else 100.0

    @property
    def reached_rate(self) -> float:
        """The number of callbacks sent per second."""
        return self.sent / self.sending_s if self.sending_s else 0.0

    @property
    def kept_rate(self) -> bool:
        """True if every callback was sent when it was due."""
        return self.late_s_max < LATE_S

    def percentile_ms(self, percent: float) -> float:
        """Return the latency within which `percent` of the OKs came, 0 if there are none."""
        if not self.latencies_ms:
            return 0.0
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]

    def as_dict(self) -> dict[str, object]:
        """Return the result for `--json`."""
        return {
            "sent": self.sent,
            "ok": self.answers[Outcome.OK],
            "ok_in_time": self.in_time,
            "other_answer": self.answers[Outcome.OTHER_ANSWER],
            # The name that 0.1 gives to `other_answer`.
            FORMER_OTHER_ANSWER: self.answers[Outcome.OTHER_ANSWER],
            "unanswered": self.answers[Outcome.UNANSWERED],
            "ok_percent": round(self.ok_percent, 3),
            "not_ok": dict(self.not_ok),
            "second_tries": dict(self.second_tries),
            "answers": [
                {"answer": answer, "reason": reason, "count": count}
                for (answer, reason), count in self.by_reason.most_common()
            ],
            "rate": {
                "planned": self.planned_rate,
                "reached": round(self.reached_rate, 1),
                "kept": self.kept_rate,
                "unsent": self.unsent,
                "late_s_max": round(self.late_s_max, 3),
                "waited_for_a_connection_s": round(self.waited_s, 3),
            },
            "by_command": dict(self.commands),
            "seconds": round(self.took_s, 3),
            "latency_ms": {
                f"p{percent:g}": round(self.percentile_ms(percent), 3) for percent in PERCENTILES
            },
        }


def _count(counts: Counter[Key], key: Key, other: Key) -> None:
    counts[key if key in counts or len(counts) < REASONS_MAX else other] += 1
