"""
Read everything that a proof needs: the spools' N, both topics, the archive, database, statistics.

An audit may wait for what is missing, and through the outage of a source: then Kafka and the
archive are read on from where the last round ended, the database and the statistics again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from consumers.archive.segment import DamagedSegment, Line, read_lines, read_summary
from consumers.archive.store import Store
from consumers.runtime.handler import Unavailable
from ops.archive.segments import in_order, open_archive, segment_names
from ops.audit.ends import Ends, Silent, get_json
from ops.audit.receipts import read_receipts
from ops.audit.report import Report
from ops.audit.sources import Changed, NotAudited, Sources, Unread
from ops.audit.tally import Statistics, Tally
from ops.audit.topic_reader import TopicReader
from ops.simulate.ledger import Entry
from schemas.topics import CALLBACKS

STATISTICS_S_MAX = 10.0
EVERY_S = 0.5
# After the time to wait, all is read again at most so many times because something changed.
AGAIN_MAX = 5

Ask = Callable[[], Awaitable[Ends]]
Say = Callable[[str], None]


async def audit(
    ask: Ask, sources: Sources, *, ledger: Sequence[Entry], wait_s: float, progress: Say
) -> Report:
    """
    Read everything and report.

    Up to `wait_s` it waits for what is missing, and for sources and ingresses that do not answer.
    `ask` returns the ends of the origins; it is called before and after everything is read.

    Raises:
        NotAudited: one of the sources cannot be read.
    """
    auditing = _Audit(ask, sources, ledger, deadline=time.monotonic() + wait_s)
    showing = asyncio.create_task(auditing.show(progress))
    try:
        return await auditing.run()
    finally:
        showing.cancel()


class _Audit:
    """One audit. It starts again from the beginning if a source has lost data that was read."""

    def __init__(
        self, ask: Ask, sources: Sources, ledger: Sequence[Entry], *, deadline: float
    ) -> None:
        self._ask = ask
        self._sources = sources
        self._ledger = ledger
        self._deadline = deadline
        self._ends = Ends()
        self._waits_for = "the ends of the spools"
        self._begin()

    def _begin(self) -> None:
        self._tally = Tally(
            self._ends,
            self._ledger,
            synced=self._sources.postgres is not None,
            counted=self._sources.stats is not None,
        )
        self._topics = TopicReader(self._sources.bootstrap_servers)
        self._segments: set[str] = set()

    @property
    def lines(self) -> int:
        """The number of lines of the archive that were read."""
        return self._tally.lines

    async def show(self, progress: Say) -> None:
        """Say how far the audit is, and what it waits for, until cancelled."""
        while True:
            read = f"{self._tally.records} records and {self._tally.lines} lines read"
            progress(f"{read}; waiting for {self._waits_for}" if self._waits_for else read)
            await asyncio.sleep(EVERY_S)

    async def run(self) -> Report:
        """Read in rounds until nothing is to be waited for."""
        store = open_archive(self._sources.archive)
        self._ends = await self._ask()
        self._begin()
        self._waits_for = ""
        again = 0
        while True:
            is_last = time.monotonic() >= self._deadline
            try:
                report = await self._round(store)
                self._waits_for = self._missing(report)
                if is_last or not self._waits_for:
                    return report
            except Unread as unread:
                self._waits_for = str(unread)
                if is_last:
                    raise NotAudited(str(unread)) from unread
            except Changed as changed:
                again += is_last
                if again > AGAIN_MAX:
                    raise NotAudited(f"{changed}; audit again") from changed
                self._begin()
            await asyncio.sleep(EVERY_S)

    async def _round(self, store: Store) -> Report:
        # Before Kafka, so that every counted callback is in the topic when the topic is read.
        if self._sources.stats is not None:
            self._tally.see_statistics(await _statistics(self._sources.stats))
        await self._topics.read(self._tally)
        await self.read_archive(store)
        if self._sources.postgres is not None:
            await read_receipts(self._sources.postgres, self._tally)
        later = await self._ask()
        completed = self._ends.then(later)
        if completed.known != self._ends.known:
            self._ends = completed
            raise Changed("the ends of more spools are known than before")
        self._ends = completed
        self._tally.see_later_ends(completed, later)
        return self._tally.report()

    def _missing(self, report: Report) -> str:
        """Return a description of what is missing and may still come, "" if there is nothing."""
        silent = [*self._ends.failed.values(), *self._ends.unknown.values()]
        if report.missing:
            silent.insert(0, f"{report.missing} that are missing")
        return silent[0] if silent else ""

    async def read_archive(self, store: Store) -> None:
        """
        Read the segments that the last call has not seen.

        Raises:
            Unread: the store does not answer.
            Changed: segments that were read do not exist any more.
            NotAudited: a segment is damaged.
        """
        whole = False
        try:
            while not whole:
                whole = True
                names = [name async for name in segment_names(store)]
                if gone := self._segments.difference(names):
                    raise Changed(f"the segment {min(gone)} was deleted from the archive")
                new = [name for name in names if name not in self._segments]
                async for name, content in in_order(new, store.read):
                    if content is None:
                        whole = False  # expired meanwhile: the new list has what replaces it
                    else:
                        await asyncio.to_thread(_see, self._tally, name, content)
                        self._segments.add(name)
        except Unavailable as error:
            raise Unread(f"the archive: it does not answer ({error})") from error


def _see(tally: Tally, name: str, content: bytes) -> None:
    try:
        summary = read_summary(content)
        for line in read_lines(content):
            tally.see_line(msgspec.json.decode(line, type=Line))
    except DamagedSegment as error:
        raise NotAudited(f"{name}: {error}; see hookline archive verify") from error
    if not summary.records:
        tally.see_expired(summary.partition, summary.origins)


class _Applied(msgspec.Struct, frozen=True):
    applied: int
    sequence_sum: int


class _Totals(msgspec.Struct, frozen=True):
    messages: int
    group_messages: int
    people: int
    people_error: float
    origins: dict[str, dict[str, _Applied]]


async def _statistics(stats_url: str) -> Statistics:
    try:
        totals = msgspec.convert(
            await get_json(f"{stats_url}/v1/totals", timeout_s=STATISTICS_S_MAX), _Totals
        )
    except Silent as silent:
        raise Unread(f"the statistics at {stats_url}: {silent}") from silent
    except msgspec.ValidationError as error:
        raise Unread(f"the statistics at {stats_url}: these are none ({error})") from error
    return Statistics(
        messages=totals.messages + totals.group_messages,
        people=None if totals.people_error else totals.people,
        applied={
            origin: {
                int(partition.rpartition("/")[2]): (found.applied, found.sequence_sum)
                for partition, found in partitions.items()
                if partition.startswith(f"{CALLBACKS.name}/")
            }
            for origin, partitions in totals.origins.items()
        },
    )
