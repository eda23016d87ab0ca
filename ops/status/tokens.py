"""The use of each token by all replicas of the ingress together. No I/O."""

from collections import Counter
from collections.abc import Sequence

from consumers.stats.process_statuses import ProcessStatuses, Replicas, TokenUse
from ops.status.report import TokenReport


def tokens(measured: ProcessStatuses) -> list[TokenReport]:
    """
    Return a row for each token that a replica has, those of apps with several tokens first.

    For how long a token is unused is known only if every replica answers and reports it: the one
    that does not answer may have used the token a moment ago.
    """
    replicas = Replicas.of(measured.ingress or ())
    uses: dict[tuple[str, str], list[TokenUse]] = {}
    for status in replicas.statuses:
        for use in status.tokens:
            uses.setdefault((use.sdkappid, use.fingerprint), []).append(use)
    each_app = Counter(sdkappid for sdkappid, _ in uses)
    rows = [_row(each, is_known=not replicas.unanswered) for each in uses.values()]
    return sorted(rows, key=lambda row: (each_app[row.sdkappid] < 2, row.sdkappid, row.place))


def _row(uses: Sequence[TokenUse], *, is_known: bool) -> TokenReport:
    ages = [use.last_used_ago_s for use in uses if use.last_used_ago_s is not None]
    unused = [use.unused_for_s for use in uses if use.unused_for_s is not None]
    return TokenReport(
        sdkappid=uses[0].sdkappid,
        fingerprint=uses[0].fingerprint,
        place=uses[0].place,
        replicas=len(uses),
        uses=sum(use.uses for use in uses),
        last_used_ago_s=min(ages, default=None),
        unused_for_s=min(unused) if is_known and len(unused) == len(uses) else None,
    )
