"""The senders that got an answer other than OK from any replica of the ingress. No I/O."""

from collections.abc import Sequence

from consumers.stats.process_statuses import ProcessStatuses, Replicas, SenderFailures


def failures_by_sender(measured: ProcessStatuses) -> list[SenderFailures]:
    """
    Return a row for each answer and address, with the count of all replicas, the last one first.

    A replica that does not answer is missing in it.
    """
    failures: dict[tuple[str, str], list[SenderFailures]] = {}
    for status in Replicas.of(measured.ingress or ()).statuses:
        for row in status.failures_by_sender:
            failures.setdefault((row.answer, row.address), []).append(row)
    return sorted(map(_row, failures.values()), key=lambda row: row.last_ago_s)


def _row(rows: Sequence[SenderFailures]) -> SenderFailures:
    last = min(rows, key=lambda row: row.last_ago_s)
    return SenderFailures(
        answer=last.answer,
        address=last.address,
        count=sum(row.count for row in rows),
        last_ago_s=last.last_ago_s,
        reason=last.reason,
    )
