"""The result of an audit for the ledger of `hookline simulate`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """
    The ledger of `hookline simulate`, compared with the sinks.

    `missing`: by sink, the number of callbacks that were answered OK and are not in it: for Kafka,
    neither there nor in the archive; for PostgreSQL, the number of rows, one for each `ce_id`.
    `changed`: the number that are in a sink with other bytes than were sent. `listed` has the first
    LISTED_MAX ids of both.
    """

    sent: int
    ok: int
    refused: int
    unanswered: int
    unanswered_but_stored: int
    missing: dict[str, int]
    changed: int
    listed: list[str]
