"""The sender's notes against what the sinks have. Pure."""

import hashlib
from collections.abc import Iterable

from ops import report
from ops.ledger import Entry, Outcome
from ops.report import LedgerReport


class Noted:
    """
    Every callback that the sender noted, by `ce_id` and digest of its body.

    An id that was sent with two bodies must be in Kafka and in the archive with both. The database
    keeps one row for each id, with one of them.
    """

    def __init__(self, entries: Iterable[Entry], *, synced: bool) -> None:
        self._outcomes: list[Outcome] = []
        self._sent: dict[str, set[str]] = {}
        self._ok: set[tuple[str, str]] = set()
        self._unanswered: set[tuple[str, str]] = set()
        for entry in entries:
            self._outcomes.append(entry.outcome)
            self._sent.setdefault(entry.id, set()).add(entry.sha256)
            if entry.outcome == "ok":
                self._ok.add((entry.id, entry.sha256))
            elif entry.outcome == "unanswered":
                self._unanswered.add((entry.id, entry.sha256))
        sinks = (report.KAFKA, report.ARCHIVE, *((report.POSTGRES,) if synced else ()))
        self._found: dict[str, set[tuple[str, str]]] = {sink: set() for sink in sinks}
        self._changed: set[str] = set()

    @property
    def ids(self) -> list[str]:
        """Return the ids that were noted."""
        return list(self._sent)

    def match(self, ce_id: str, body: bytes, sink: str) -> None:
        """Note that a sink has a callback, if the sender has noted it."""
        if ce_id in self._sent:
            self.compare(ce_id, hashlib.sha256(body).hexdigest(), sink)

    def compare(self, ce_id: str, sha256: str, sink: str) -> None:
        """Note that a sink has a body with this digest under an id that was noted."""
        sent = self._sent[ce_id]
        if sha256 in sent and sink != report.POSTGRES:
            self._found[sink].add((ce_id, sha256))
            return
        # One with other bytes is there, and a fault of its own.
        self._found[sink].update((ce_id, each) for each in sent)
        if sha256 not in sent:
            self._changed.add(ce_id)

    def report(self) -> LedgerReport | None:
        """Return how the notes compare with the sinks, None if there are none."""
        if not self._outcomes:
            return None
        # What retention deleted from Kafka is proven by the archive.
        found = self._found | {
            report.KAFKA: self._found[report.KAFKA] | self._found[report.ARCHIVE]
        }
        missing = {sink: self._ok - there for sink, there in found.items()}
        faulty = self._changed.union(*({ce_id for ce_id, _ in keys} for keys in missing.values()))
        return LedgerReport(
            sent=len(self._outcomes),
            ok=self._outcomes.count("ok"),
            refused=self._outcomes.count("refused"),
            unanswered=self._outcomes.count("unanswered"),
            unanswered_but_stored=len((self._unanswered - self._ok) & found[report.KAFKA]),
            missing={sink: len(lacking) for sink, lacking in missing.items()},
            changed=len(self._changed),
            listed=sorted(faulty)[: report.LISTED_MAX],
        )
