"""Everything that an audit has collected from all sources. Does no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consumers.webhook.callback_filter import CallbackFilter
from ops.audit.contents import Contents
from ops.audit.ledger_check import LedgerCheck
from ops.audit.message_counts import MessageCounts
from ops.audit.origins import Origins
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics import Statistics
from ops.audit.webhook_check import WebhookCheck
from ops.simulate.ledger import LedgerEntry


@dataclass(slots=True, kw_only=True)
class Collected:
    """
    Everything that `Tally` adds, and of which reporting.py makes the report.

    `audits_postgres` and `audits_counts` are False for a sink that is not audited. `webhooks` has
    the targets that are audited, by name. `foreign_count`: the records that no ingress wrote.
    """

    audits_postgres: bool
    audits_counts: bool
    origins: Origins
    contents: Contents
    ledger: LedgerCheck
    message_counts: MessageCounts
    webhooks: Mapping[str, WebhookCheck]
    statistics: Statistics = field(
        default_factory=lambda: Statistics(messages=0, people=None, applied={})
    )
    foreign_count: int = 0


def nothing_collected(
    ends: SpoolEnds,
    ledger: Iterable[LedgerEntry],
    *,
    audits_postgres: bool,
    audits_counts: bool,
    webhooks: Mapping[str, CallbackFilter],
    highest_seen: dict[str, int] | None,
) -> Collected:
    """Return an empty collection, as it is before the first source is read; see `Tally`."""
    contents = Contents()
    origins = Origins(ends, highest_seen)
    return Collected(
        audits_postgres=audits_postgres,
        audits_counts=audits_counts,
        origins=origins,
        contents=contents,
        ledger=LedgerCheck(ledger, audits_postgres=audits_postgres),
        message_counts=MessageCounts(),
        webhooks={
            name: WebhookCheck(name, callback_filter, contents, number, origins)
            for number, (name, callback_filter) in enumerate(webhooks.items())
        },
    )
