"""Compare the ledger of `hookline simulate` with the sinks. Does no I/O."""

import hashlib
from collections.abc import Callable, Iterable

from ops.audit.ledger_report import LedgerReport
from ops.audit.report import ARCHIVE, KAFKA, LISTED_MAX, POSTGRES
from ops.simulate.ledger import LedgerEntry, Outcome
from schemas.callback_record import CallbackRecord


class LedgerCheck:
    """
    Compares the entries of the ledger with the sinks, by `ce_id` and digest of the body.

    An id that was sent with two bodies must be in Kafka and in the archive with both. The database
    keeps one row for each id, with one of the bodies.
    """

    def __init__(self, entries: Iterable[LedgerEntry], *, audits_postgres: bool) -> None:
        self._outcomes: list[Outcome] = []
        self._sent: dict[str, set[str]] = {}
        # By outcome, the ids and bodies of the ledger.
        self._by_outcome: dict[Outcome, set[tuple[str, str]]] = {each: set() for each in Outcome}
        for entry in entries:
            self._outcomes.append(entry.outcome)
            self._sent.setdefault(entry.id, set()).add(entry.sha256)
            self._by_outcome[entry.outcome].add((entry.id, entry.sha256))
        sinks = (KAFKA, ARCHIVE, *((POSTGRES,) if audits_postgres else ()))
        # By sink, the ids and bodies of the ledger that the sink has.
        self._found_sent: dict[str, set[tuple[str, str]]] = {sink: set() for sink in sinks}
        # By id, the sequences that Kafka or the archive has of it, with their origins.
        self._places: dict[str, set[tuple[str, int]]] = {}
        # By sink and id, the bodies that the sink has and the ledger does not have.
        self._found_unsent: dict[str, dict[str, set[str]]] = {sink: {} for sink in sinks}

    @property
    def ids_without_row(self) -> list[str]:
        """The ids of the ledger for which no row of the database was compared."""
        with_row = {ce_id for ce_id, _ in self._found_sent[POSTGRES]} | self._found_unsent[
            POSTGRES
        ].keys()
        return [ce_id for ce_id in self._sent if ce_id not in with_row]

    def match(self, callback: CallbackRecord, sink: str) -> None:
        """Compare a callback of a sink, or its dead letter, if its id is in the ledger."""
        if callback.id in self._sent and sink in self._found_sent:
            self._places.setdefault(callback.id, set()).add((callback.origin, callback.sequence))
            self.compare(callback.id, hashlib.sha256(callback.body).hexdigest(), sink)

    def compare(self, ce_id: str, sha256: str, sink: str) -> None:
        """Compare the digest of a body in a sink; its id is in the ledger."""
        sent = self._sent[ce_id]
        if sha256 not in sent:
            self._found_unsent[sink].setdefault(ce_id, set()).add(sha256)
        elif sink == POSTGRES:
            self._found_sent[sink].update((ce_id, body_sha256) for body_sha256 in sent)
        else:
            self._found_sent[sink].add((ce_id, sha256))

    def _changed(self) -> dict[str, set[str]]:
        """
        Return, by sink, the ids whose body in the sink was never sent, if the sent body is missing.

        PostgreSQL keeps one body of an id; there, the body must also be absent from Kafka and the
        archive. A body in addition to the sent one is a repeat that this ledger does not have.
        """
        in_kafka_or_archive = {
            (ce_id, body_sha256)
            for sink in (KAFKA, ARCHIVE)
            for ce_id, bodies in self._found_unsent[sink].items()
            for body_sha256 in bodies
        }
        return {
            sink: {
                ce_id
                for ce_id, bodies in found_unsent.items()
                if not (
                    {(ce_id, body_sha256) for body_sha256 in bodies} <= in_kafka_or_archive
                    if sink == POSTGRES
                    else self._has_sent_bodies(ce_id, self._found_sent[sink])
                )
            }
            for sink, found_unsent in self._found_unsent.items()
        }

    def _has_sent_bodies(self, ce_id: str, in_sink: set[tuple[str, str]]) -> bool:
        """Return whether a sink has a sent body of an id, and all that were answered OK."""
        keys = {(ce_id, body_sha256) for body_sha256 in self._sent[ce_id]}
        return bool(keys & in_sink) and keys & self._by_outcome[Outcome.OK] <= in_sink

    def _present_bodies(
        self, changed: dict[str, set[str]], is_expired: Callable[[str, int], bool]
    ) -> dict[str, set[tuple[str, str]]]:
        """Return, by sink, the sent bodies that are not missing, with their ids."""
        # A callback with other bytes is not missing: that it is changed is a separate fault.
        present = changed | {POSTGRES: set(self._found_unsent.get(POSTGRES, ()))}
        present_bodies = {
            sink: keys
            | {(ce_id, body_sha256) for ce_id in present[sink] for body_sha256 in self._sent[ce_id]}
            for sink, keys in self._found_sent.items()
        }
        # The archive is the evidence for callbacks that Kafka does not have any more.
        present_bodies[KAFKA] |= present_bodies[ARCHIVE]
        if POSTGRES in present_bodies:
            present_bodies[POSTGRES] |= {
                (ce_id, body_sha256)
                for ce_id, places in self._places.items()
                if any(is_expired(*place) for place in places)
                for body_sha256 in self._sent[ce_id]
            }
        return present_bodies

    def report(self, is_expired: Callable[[str, int], bool]) -> LedgerReport | None:
        """
        Return the result of the comparison, None if the ledger has no entries.

        `is_expired(origin, sequence)`: `hookline sync expire` has deleted it from PostgreSQL.
        """
        if not self._outcomes:
            return None
        by_sink = self._changed()
        changed: set[str] = set().union(*by_sink.values())
        present_bodies = self._present_bodies(by_sink, is_expired)
        ok = self._by_outcome[Outcome.OK]
        other_answer = self._by_outcome[Outcome.OTHER_ANSWER]
        unanswered = self._by_outcome[Outcome.UNANSWERED]
        missing = {sink: ok - bodies for sink, bodies in present_bodies.items()}
        faulty = changed.union(*({ce_id for ce_id, _ in keys} for keys in missing.values()))
        return LedgerReport(
            sent=len(self._outcomes),
            ok=self._outcomes.count(Outcome.OK),
            other_answer=self._outcomes.count(Outcome.OTHER_ANSWER),
            other_answer_but_stored=len((other_answer - unanswered - ok) & present_bodies[KAFKA]),
            unanswered=self._outcomes.count(Outcome.UNANSWERED),
            unanswered_but_stored=len((unanswered - ok) & present_bodies[KAFKA]),
            missing={
                # PostgreSQL has one row for all bodies of an id.
                sink: len({ce_id for ce_id, _ in lacking} if sink == POSTGRES else lacking)
                for sink, lacking in missing.items()
            },
            changed=len(changed),
            listed=sorted(faulty)[:LISTED_MAX],
        )
