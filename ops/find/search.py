"""
Search all sources for one question, and say what was searched.

The spools are asked before Kafka, and the ends of Kafka's partitions are read after that: a
callback that leaves a spool meanwhile is in Kafka then, so it is not missed in both.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops import nouns
from ops.failure import ExitCode
from ops.find import counted, database
from ops.find.archive_search import ArchiveSearch
from ops.find.collection import (
    ARCHIVE,
    COUNTERS,
    DATABASE,
    DEAD_LETTER,
    SPOOL,
    TOPIC,
    CallbackCollection,
    LocatedCallback,
    Sighting,
)
from ops.find.question import Question
from ops.find.ranges import FindRequest, parts, range_of
from ops.find.sources import Extent, NotSearched, Progress, Sources
from ops.find.spools import SpoolSearch
from ops.find.topic_search import TopicSearch
from ops.records.time_range import TimeRange
from schemas.body_fields import MESSAGE_COMMANDS
from schemas.topics import CALLBACKS, DEAD_LETTERS

# Not named: what to name for each source.
OPTIONS = {
    SPOOL: "no ingress or spool directory is named (--ingress, OPS_INGRESS; --spool)",
    TOPIC: "Kafka is left out (--no-kafka)",
    DEAD_LETTER: "Kafka is left out (--no-kafka)",
    ARCHIVE: "no archive is named (--archive, ARCHIVE_URL)",
    DATABASE: "no database is named (--postgres, SYNC_POSTGRES)",
    COUNTERS: "no Valkey is named (--counters, COUNTERS_VALKEY)",
}


@dataclass(slots=True, kw_only=True)
class Answer:
    """The callbacks that were found; by source, the searched range, or why it was not searched."""

    question: Question
    collection: CallbackCollection
    range: TimeRange
    searched: dict[str, Extent] = field(default_factory=dict)
    not_searched: dict[str, str] = field(default_factory=dict)

    @property
    def callbacks(self) -> Sequence[LocatedCallback]:
        """The callbacks that were found."""
        return self.collection.callbacks

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command; docs/find.md explains each."""
        if self.callbacks:
            only_dead = all(
                sighting.store in (DEAD_LETTER, COUNTERS)
                for each in self.callbacks
                for sighting in each.sightings
            )
            return ExitCode.DEAD_LETTERED if only_dead else ExitCode.OK
        if not self.searched:
            return ExitCode.UNREADABLE
        # The counters do not say of one callback whether they have it.
        unknown = self.not_searched.keys() - {COUNTERS}
        return ExitCode.of_result(faults=not unknown, incomplete=bool(unknown))


class Search:
    """One search; `run` does all of it."""

    def __init__(self, request: FindRequest, sources: Sources, progress: Progress) -> None:
        self._request = request
        self._question = request.question
        self._sources = sources
        self._progress = progress
        self._collection = CallbackCollection(
            limit=request.limit, keeps_bodies=request.keeps_bodies
        )
        self._answer = Answer(
            question=request.question, collection=self._collection, range=range_of(request, ())
        )

    async def run(self) -> Answer:
        """Search everything that is named; each source has `timeout_s` to answer."""
        await asyncio.gather(self._ask(SPOOL, self._spools()), self._ask(DATABASE, self._rows()))
        if not self._question.is_list:
            received = [each.received_at for each in self._collection.callbacks if each.received_at]
            self._answer.range = range_of(self._request, received)
        await self._search_records()
        await asyncio.gather(
            self._ask(DATABASE, self._add_from_database()), self._ask(COUNTERS, self._counted())
        )
        return self._answer

    async def _search_records(self) -> None:
        whole = self._answer.range
        for part in parts(self._request, whole, self._collection.callbacks):
            self._answer.range = part
            await asyncio.gather(
                self._ask(TOPIC, self._topic(CALLBACKS.name, part)),
                self._ask(DEAD_LETTER, self._topic(DEAD_LETTERS.name, part)),
                self._ask(ARCHIVE, self._archive(part)),
            )
            if self._is_everywhere():
                return

    def _is_everywhere(self) -> bool:
        """Return whether each source of records that was searched has what is asked for."""
        callbacks = self._collection.callbacks
        if self._question.message is not None:
            # An event about the message may come hours before a message that waited in a spool.
            callbacks = [each for each in callbacks if each.command in MESSAGE_COMMANDS]
        stores = {sighting.store for each in callbacks for sighting in each.sightings}
        sources = {TOPIC, ARCHIVE} & self._answer.searched.keys()
        return bool(sources) and sources <= stores

    async def _ask(self, source: str, search: Coroutine[Any, Any, Extent | None]) -> None:
        """Note what `search` has searched, or why not; None: there was nothing to do."""
        try:
            async with asyncio.timeout(self._request.timeout_s):
                searched = await search
        except NotSearched as reason:
            self._not_searched(source, str(reason))
        except TimeoutError:
            self._not_searched(
                source,
                f"not finished after {self._request.timeout_s:g} s; allow more time (--timeout),"
                " or a shorter range (--since, --until)",
            )
        else:
            if searched is not None and source not in self._answer.not_searched:
                self._answer.searched[source] = searched

    def _not_searched(self, source: str, reason: str) -> None:
        self._answer.searched.pop(source, None)
        self._answer.not_searched.setdefault(source, reason)

    async def _spools(self) -> Extent:
        if not (self._sources.spool or self._sources.ingresses):
            raise NotSearched(OPTIONS[SPOOL])
        spools, ingresses = self._sources.spool, self._sources.ingresses
        search = SpoolSearch(spools, ingresses, self._question, self._collection)
        return await search.search()

    async def _topic(self, topic: str, time_range: TimeRange) -> Extent:
        if self._sources.kafka is None:
            raise NotSearched(OPTIONS[TOPIC])
        search = TopicSearch(
            self._sources.kafka, topic, self._question, self._collection, self._progress
        )
        return await search.search(time_range)

    async def _archive(self, time_range: TimeRange) -> Extent:
        if self._sources.archive is None:
            raise NotSearched(OPTIONS[ARCHIVE])
        url = self._sources.archive
        return await ArchiveSearch(url, self._question, self._collection, self._progress).search(
            time_range
        )

    async def _rows(self) -> Extent:
        if self._sources.postgres is None:
            raise NotSearched(OPTIONS[DATABASE])
        has_time = self._question.is_list or self._question.sent_at or self._request.since
        rows, extent = await database.rows(
            self._sources.postgres,
            self._question,
            self._answer.range if has_time else None,
            limit=self._request.limit,
        )
        for row in rows:
            self._collection.add_row(row)
        self._collection.has_more_rows = len(rows) > self._request.limit
        return Extent(extent)

    async def _add_from_database(self) -> None:
        """Add the rows and receipts of the callbacks that were found elsewhere."""
        callbacks = [each for each in self._collection.callbacks if each.sequence]
        if self._sources.postgres and callbacks and DATABASE in self._answer.searched:
            sightings = await database.sightings(self._sources.postgres, callbacks)
            for each in callbacks:
                each.sightings += sightings[each.origin, each.sequence]

    async def _counted(self) -> Extent:
        if self._sources.counters is None:
            raise NotSearched(OPTIONS[COUNTERS])
        positions = await counted.next_offsets(self._sources.counters)
        for callback in self._collection.callbacks:
            if (record := callback.record) is not None:
                partition, offset = record
                position = positions.get(partition, 0)
                callback.sightings.append(
                    Sighting(
                        store=COUNTERS,
                        where=f"position {position} of partition {partition}",
                        note="passed by the counters" if position > offset else "not counted yet",
                    )
                )
        return Extent(nouns.counted(len(positions), "position"))
