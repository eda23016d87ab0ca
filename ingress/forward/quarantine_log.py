"""Log and count the rows that go into quarantine: they are never sent."""

import logging

from ingress.spool.state import SpoolState
from schemas.telemetry import INGRESS_ROWS_QUARANTINED

log = logging.getLogger(__name__)


class QuarantineLog:
    """
    Compares a spool's states, and reports the rows that are new in quarantine.

    The rows are read from the state and not noted when a row is moved, because an uncertain commit
    may have moved some, too.
    """

    def __init__(self, spool_name: str) -> None:
        self._spool_name = spool_name
        # The numbers in quarantine that were reported; None before the first report.
        self._reported: frozenset[int] | None = None

    def report(
        self, state: SpoolState, reason: str = "a commit that was reported as failed had succeeded"
    ) -> None:
        """Report the rows since the last call; the first call names those from before."""
        before, self._reported = self._reported, state.quarantined_numbers
        if before is None:
            if state.quarantined_sequences:
                log.warning(
                    "sequences of origin %s have been in quarantine since before this start: %s "
                    "(hookline spool show %s)",
                    state.origin,
                    ", ".join(map(str, state.quarantined_sequences)),
                    self._spool_name,
                )
        elif new := state.quarantined_numbers - before:
            INGRESS_ROWS_QUARANTINED.inc(len(new))
            log.critical(
                "%s; sequences of origin %s are in quarantine and will not be sent: %s (hookline "
                "spool show %s); audit reports them as missing",
                reason,
                state.origin,
                ", ".join(str(number - state.base) for number in sorted(new)),
                self._spool_name,
            )
