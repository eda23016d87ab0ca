"""The answers to the callbacks that were sent, counted."""

from collections import Counter
from dataclasses import dataclass, field

from ops.simulate.ledger import LedgerEntry

PERCENTILES = (50, 90, 99, 99.9, 100)


@dataclass(slots=True)
class TrafficResult:
    """
    The answers to the callbacks that were sent.

    `not_ok`: the number of callbacks that were not answered OK, by reason. `second_tries`: the
    number that were sent to a second address, by the reason for which the first try failed.
    """

    planned_rate: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    not_ok: Counter[str] = field(default_factory=Counter)
    second_tries: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    # The time until the last callback was sent.
    sending_s: float = 0.0
    # The time until the last answer.
    took_s: float = 0.0
    # The time without a free connection.
    waited_s: float = 0.0

    def add(self, entry: LedgerEntry) -> None:
        """Count a callback."""
        self.answers[entry.outcome] += 1
        self.commands[entry.command] += 1
        tries = len(entry.failed_tries) + (entry.outcome == "ok")
        if tries > 1:
            self.second_tries[entry.failed_tries[0]] += 1
        if entry.outcome == "ok":
            self.latencies_ms.append(entry.latency_ms)
        else:
            self.not_ok[", then ".join(entry.failed_tries)] += 1

    @property
    def sent(self) -> int:
        """The number of callbacks that were sent."""
        return sum(self.answers.values())

    @property
    def ok_percent(self) -> float:
        """The share of the callbacks that were answered OK; 100 if none was sent."""
        return 100.0 * self.answers["ok"] / self.sent if self.sent else 100.0

    @property
    def reached_rate(self) -> float:
        """The number of callbacks sent per second."""
        return self.sent / self.sending_s if self.sending_s else 0.0

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
            "ok": self.answers["ok"],
            "refused": self.answers["refused"],
            "unanswered": self.answers["unanswered"],
            "ok_percent": round(self.ok_percent, 3),
            "not_ok": dict(self.not_ok),
            "second_tries": dict(self.second_tries),
            "rate": {
                "planned": self.planned_rate,
                "reached": round(self.reached_rate, 1),
                "waited_for_a_connection_s": round(self.waited_s, 3),
            },
            "by_command": dict(self.commands),
            "seconds": round(self.took_s, 3),
            "latency_ms": {
                f"p{percent:g}": round(self.percentile_ms(percent), 3) for percent in PERCENTILES
            },
        }
