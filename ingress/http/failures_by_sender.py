"""The senders of failed requests, for `/status`: for each answer, those that failed last."""

from dataclasses import dataclass
from typing import Any

from schemas.clock import rfc3339
from schemas.printable import shortened

# Senders remembered for each answer. Each answer has places of its own, so scanners that are
# answered 404 do not displace a sender whose Sign is wrong.
SENDERS_MAX = 20
REASON_CHARACTERS_MAX = 200


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_at_s: float = 0.0
    reason: str = ""


class FailuresBySender:
    """Counts the answers other than OK by answer and address."""

    def __init__(self) -> None:
        # By answer, then by address; the address that was given it last is the last one.
        self._by_answer: dict[str, dict[str, _Failures]] = {}

    def note(self, answer: str, address: str, reason: str, now_s: float) -> None:
        """
        Count an answer other than OK to `address`, at a Unix time in seconds.

        With SENDERS_MAX other addresses, the one that was given it longest ago is forgotten.
        """
        senders = self._by_answer.setdefault(answer, {})
        failures = senders.pop(address, None) or _Failures()
        if len(senders) >= SENDERS_MAX:
            del senders[next(iter(senders))]
        senders[address] = failures
        failures.count += 1
        failures.last_at_s = now_s
        failures.reason = shortened(reason, REASON_CHARACTERS_MAX)

    def table(self, now_s: float) -> list[dict[str, Any]]:
        """Return a row for each answer and sender, the one that was given it last first."""
        rows = [
            (failures, answer, address)
            for answer, senders in self._by_answer.items()
            for address, failures in senders.items()
        ]
        rows.sort(key=lambda row: row[0].last_at_s, reverse=True)
        return [
            {
                "answer": answer,
                "address": address,
                "count": failures.count,
                "last_at": rfc3339(failures.last_at_s),
                "last_ago_s": round(max(now_s - failures.last_at_s, 0.0), 1),
                "reason": failures.reason,
            }
            for failures, answer, address in rows
        ]
