"""
Read everything that the proof needs, in rounds, until it is proven or the time to wait is over.

A round reads the statistics, the retry topics of webhooks, the topics, the archive, the database,
the logs of webhooks' receivers and the ends of the spools into a `Tally`. A further round reads
Kafka, the archive and the logs from where the last one ended, and the others again. So an audit can
wait for missing callbacks, and for sources that do not answer.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence

from consumers.archive.store import SegmentStore
from ops.archive.segments import open_archive
from ops.audit.archive_reader import ArchiveReader
from ops.audit.days_reader import read_days
from ops.audit.output import waited_for
from ops.audit.receipts import read_receipts
from ops.audit.report import Report
from ops.audit.sources import AuditFailed, ReadAgain, Sources, SourceUnavailable
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics_api import StatisticsApi, read_statistics
from ops.audit.tally import Tally
from ops.audit.topic_reader import TopicReader
from ops.audit.webhook_log import LogReader
from ops.audit.webhook_state import read_state
from ops.nouns import counted
from ops.simulate.ledger import LedgerEntry
from schemas.clients import check_cancellation

# The pause between two rounds, and between two progress messages.
POLL_INTERVAL_S = 0.5
# The maximum number of times that all sources are read again after the deadline.
REREADS_MAX = 5

# The cyclic collector scans the records that are held, and finds nothing: with its own thresholds
# it takes a quarter of the time of reading. These are high but finite.
GC_THRESHOLDS = (50_000, 50, 100)

ReadEnds = Callable[[], Awaitable[SpoolEnds]]
Progress = Callable[[str], None]


def collect_garbage_rarely() -> None:
    """Have the cyclic collector run rarely in this process, and leave out what there is now."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def audit(
    read_ends: ReadEnds,
    sources: Sources,
    *,
    ledger: Sequence[LedgerEntry],
    wait_s: float,
    progress: Progress,
) -> Report:
    """
    Read everything and report.

    Waits up to `wait_s` for missing callbacks, and for sources and ingresses that do not answer.
    `read_ends` returns the ends of the origins, and the first sequences if only callbacks since a
    time are audited; it is called before and after everything is read.

    Raises:
        AuditFailed: one of the sources cannot be read.
    """
    deadline = time.monotonic() + wait_s
    store = open_archive(sources.archive)
    progress("waiting for the ends of the spools")
    running_audit = _Audit(await read_ends(), read_ends, sources, store, ledger)
    progress_task = asyncio.create_task(running_audit.show_progress(progress))
    try:
        return await running_audit.run(deadline=deadline)
    finally:
        progress_task.cancel()


class _Audit:
    """One audit. After `ReadAgain`, it reads all sources from their beginning."""

    def __init__(
        self,
        ends: SpoolEnds,
        read_ends: ReadEnds,
        sources: Sources,
        store: SegmentStore,
        ledger: Sequence[LedgerEntry],
    ) -> None:
        self._ends = ends
        self._read_ends = read_ends
        self._sources = sources
        self._store = store
        self._ledger = ledger
        self._waits_for = ""
        # What was seen once counts also if retention has deleted it before all is read again.
        self._highest_seen: dict[str, int] = {}
        # The counts are totals since the beginning: they say nothing about a part of the time.
        self._stats = sources.stats if ends.since is None else None
        self._reset()

    def _reset(self) -> None:
        """Forget what was read, but not the ends and what was seen: the next round reads it all."""
        self.tally = Tally(
            self._ends,
            self._ledger,
            audits_postgres=self._sources.postgres is not None,
            audits_counts=self._stats is not None,
            webhooks={target.name: target.callback_filter for target in self._sources.webhooks},
            highest_seen=self._highest_seen,
        )
        self._logs = {target.name: LogReader(target.logs) for target in self._sources.webhooks}
        self._topics = TopicReader(self._sources.kafka, self._ends.since)
        self._archive = ArchiveReader(self._store, self._ends.since)

    async def show_progress(self, progress: Progress) -> None:
        """Report progress, and the reason for which the audit waits, until cancelled."""
        while True:
            records = counted(self.tally.record_count, "record")
            text = f"{records}, {counted(self.tally.line_count, 'line')} read"
            if self.tally.receipt_count:
                text += f", {self.tally.receipt_count} receipts"
            progress(f"{text}; waiting for {self._waits_for}" if self._waits_for else text)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def run(self, *, deadline: float) -> Report:
        """Read in rounds until there is nothing to wait for, or the time is over."""
        rereads = 0
        while True:
            check_cancellation()
            is_last = time.monotonic() >= deadline
            try:
                report = await self._round()
                self._waits_for = self._awaited(report)
                if is_last or not self._waits_for:
                    return report
            except SourceUnavailable as error:
                self._waits_for = str(error)
                if is_last:
                    raise AuditFailed(str(error)) from error
            except ReadAgain as reason:
                rereads += is_last
                if rereads > REREADS_MAX:
                    raise AuditFailed(f"{reason}; audit again") from reason
                self._reset()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _round(self) -> Report:
        # Read the counts first: then every counted callback is in the topic when Kafka is read.
        if self._stats is not None:
            api = StatisticsApi(self._stats, self._sources.stats_token)
            self.tally.note_statistics(await read_statistics(api))
            self.tally.note_days(await read_days(api))
        await self._note_webhooks()
        await self._topics.read(self.tally)
        await self._archive.read(self.tally)
        if self._sources.postgres is not None:
            await read_receipts(self._sources.postgres, self.tally)
        for name, log in self._logs.items():
            await log.read(self.tally.webhooks[name].add_delivery)
        later_ends = await self._read_ends()
        completed_ends = self._ends.completed_by(later_ends)
        ends, self._ends = self._ends, completed_ends
        if completed_ends.by_spool != ends.by_spool:
            raise ReadAgain("the ends of more spools are known than before")
        # Without a first sequence, nothing of the origin was taken from what was read.
        if completed_ends.first_sequences != ends.first_sequences:
            raise ReadAgain("the first sequences of more origins are known than before")
        self.tally.origins.replace_ends(completed_ends, later_ends)
        self._waits_for = ""
        # It reads temporary files if there are millions of callbacks.
        return await asyncio.to_thread(self.tally.report, self._logs)

    async def _note_webhooks(self) -> None:
        # First the state, then the end of the log, then the records: what the state has as
        # delivered is in this part of the log, and what this part of the log has is in Kafka.
        for name, log in self._logs.items():
            state = await read_state(self._sources.kafka, name)
            self.tally.webhooks[name].note_state(state)
            log.note_ends()

    def _awaited(self, report: Report) -> str:
        """Return what the audit should wait for, "" if there is nothing to wait for."""
        if report.missing_at_least:
            return waited_for(report)
        # PostgreSQL is read after Kafka. So its row of a new repeat, which has other bytes than the
        # ledger, seems changed until the next round reads the repeat in Kafka.
        if report.changed:
            return f"{report.changed} changed callbacks"
        if waiting := sum(webhook.waiting for webhook in report.webhooks.values()):
            return f"{counted(waiting, 'callback')} in the retry topics of webhooks"
        return next(iter([*self._ends.unanswered.values(), *self._ends.unknown.values()]), "")
