"""The result of an audit for the ledger of `hookline simulate`."""

from dataclasses import asdict, dataclass

from ops.simulate.ledger import FORMER_OTHER_ANSWER


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """
    The ledger of `hookline simulate`, compared with the sinks.

    `missing`: by sink, the number of callbacks that were answered OK and are not in it: for Kafka,
    neither there nor in the archive; for PostgreSQL, the number of rows, one for each `ce_id`.
    `changed`: the number that are in a sink with other bytes than were sent. `listed` has the first
    LISTED_MAX ids of both. `other_answer` and `unanswered` are the callbacks that were answered
    otherwise than OK, or not at all; `…_but_stored` are those of them that Kafka or the archive has
    nevertheless. That is no fault: an ingress may die, or its disk may fail, after it has stored a
    callback and before it answers OK. A malformed callback, which is kept as a dead letter of the
    ingress, is not counted as stored. A callback that was sent twice, with another answer and
    without one, is only in `unanswered_but_stored`.
    """

    sent: int
    ok: int
    other_answer: int
    other_answer_but_stored: int
    unanswered: int
    unanswered_but_stored: int
    missing: dict[str, int]
    changed: int
    listed: list[str]

    @property
    def stored_without_ok(self) -> int:
        """The callbacks that are stored although they were not answered OK."""
        return self.other_answer_but_stored + self.unanswered_but_stored

    def as_dict(self) -> dict[str, object]:
        """Return the report for `--json`; `refused` is what 0.1 calls `other_answer`."""
        return asdict(self) | {FORMER_OTHER_ANSWER: self.other_answer}
