"""The senders of refused requests, for `/status`: for each answer, those that were refused last."""

from dataclasses import dataclass
from typing import Any

from schemas.clock import rfc3339

# Senders remembered for each answer. Each answer has places of its own, so scanners that are
# answered 404 do not displace a sender whose Sign is wrong.
SENDERS_MAX = 20
REASON_CHARACTERS_MAX = 200


@dataclass(slots=True)
class _Refused:
    count: int = 0
    last_at_s: float = 0.0
    reason: str = ""


class RefusedSenders:
    """Counts refusals by answer and address."""

    def __init__(self) -> None:
        # By answer, then by address; the address that was refused last is the last one.
        self._by_answer: dict[str, dict[str, _Refused]] = {}

    def note(self, answer: str, address: str, reason: str, now_s: float) -> None:
        """
        Count a refusal of a request from `address`, at a Unix time in seconds.

        With SENDERS_MAX other addresses, the address that was refused longest ago is forgotten.
        """
        senders = self._by_answer.setdefault(answer, {})
        refused = senders.pop(address, None) or _Refused()
        if len(senders) >= SENDERS_MAX:
            del senders[next(iter(senders))]
        senders[address] = refused
        refused.count += 1
        refused.last_at_s = now_s
        refused.reason = reason[:REASON_CHARACTERS_MAX]

    def table(self, now_s: float) -> list[dict[str, Any]]:
        """Return a row for each answer and sender, the one refused last first."""
        rows = [
            (refused, answer, address)
            for answer, senders in self._by_answer.items()
            for address, refused in senders.items()
        ]
        rows.sort(key=lambda row: row[0].last_at_s, reverse=True)
        return [
            {
                "answer": answer,
                "address": address,
                "count": refused.count,
                "last_at": rfc3339(refused.last_at_s),
                "last_ago_s": round(max(now_s - refused.last_at_s, 0.0), 1),
                "reason": refused.reason,
            }
            for refused, answer, address in rows
        ]
