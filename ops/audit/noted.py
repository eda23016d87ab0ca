"""Compare the sender's notes with the sinks. Pure."""

import hashlib
from collections.abc import Iterable

from ops.audit import report
from ops.audit.report import LedgerReport
from ops.simulate.ledger import Entry, Outcome


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
        # By sink and id, the other bodies that it has.
        self._others: dict[str, dict[str, set[str]]] = {sink: {} for sink in sinks}

    @property
    def ids(self) -> list[str]:
        """Return the ids that were noted."""
        return list(self._sent)

    def match(self, ce_id: str, body: bytes, sink: str) -> None:
        """Note that a sink, or a dead letter in its place, has a callback, if it was noted."""
        if ce_id in self._sent and sink in self._found:
            self.compare(ce_id, hashlib.sha256(body).hexdigest(), sink)

    def compare(self, ce_id: str, sha256: str, sink: str) -> None:
        """Note that a sink has a body with this digest under an id that was noted."""
        sent = self._sent[ce_id]
        if sha256 not in sent:
            self._others[sink].setdefault(ce_id, set()).add(sha256)
        elif sink == report.POSTGRES:
            self._found[sink].update((ce_id, each) for each in sent)
        else:
            self._found[sink].add((ce_id, sha256))

    def _changed(self) -> dict[str, set[str]]:
        """
        Return by sink the ids that it has with other bytes than were sent, in place of those.

        Others beside those are a repeat that this sender did not note.
        """
        stored = {
            (ce_id, each)
            for sink in (report.KAFKA, report.ARCHIVE)
            for ce_id, bodies in self._others[sink].items()
            for each in bodies
        }
        return {
            sink: {
                ce_id
                for ce_id, bodies in others.items()
                if not (
                    {(ce_id, each) for each in bodies} <= stored
                    if sink == report.POSTGRES
                    else self._has_what_was_sent(ce_id, self._found[sink])
                )
            }
            for sink, others in self._others.items()
        }

    def _has_what_was_sent(self, ce_id: str, found: set[tuple[str, str]]) -> bool:
        keys = {(ce_id, each) for each in self._sent[ce_id]}
        return bool(keys & found) and keys & self._ok <= found

    def report(self) -> LedgerReport | None:
        """Return how the notes compare with the sinks, None if there are none."""
        if not self._outcomes:
            return None
        by_sink = self._changed()
        changed: set[str] = set().union(*by_sink.values())
        # The sink has a callback with other bytes, which is a separate fault.
        present = by_sink | {report.POSTGRES: set(self._others.get(report.POSTGRES, ()))}
        found = {
            sink: keys | {(ce_id, each) for ce_id in present[sink] for each in self._sent[ce_id]}
            for sink, keys in self._found.items()
        }
        # The archive proves the callbacks that retention deleted from Kafka.
        found[report.KAFKA] |= found[report.ARCHIVE]
        missing = {sink: self._ok - there for sink, there in found.items()}
        faulty = changed.union(*({ce_id for ce_id, _ in keys} for keys in missing.values()))
        return LedgerReport(
            sent=len(self._outcomes),
            ok=self._outcomes.count("ok"),
            refused=self._outcomes.count("refused"),
            unanswered=self._outcomes.count("unanswered"),
            unanswered_but_stored=len((self._unanswered - self._ok) & found[report.KAFKA]),
            missing={sink: len(lacking) for sink, lacking in missing.items()},
            changed=len(changed),
            listed=sorted(faulty)[: report.LISTED_MAX],
        )
