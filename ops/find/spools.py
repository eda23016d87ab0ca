"""Search the spools: those in a directory, and, by its status, the one of each running ingress."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ingress.spool.directory import corrupt_files, spool_names
from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.row import DamagedCallback, Row
from ingress.spool.spool_lock import SpoolInUse
from ingress.spool.unheld import UnheldSpool, open_unheld
from ingress.spool.verification import NotVerified
from ops.audit.ends_reader import ask_ingresses
from ops.find.collection import SPOOL, CallbackCollection, Sighting
from ops.find.question import Question
from ops.find.record_filter import RecordFilter
from ops.find.sources import Extent, NotSearched
from ops.nouns import counted
from ops.records.header_texts import header_texts
from schemas.ingress_status import SpoolSummary
from schemas.outgoing_record import with_place_and_id
from schemas.url_text import public_url


class IngressStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The part of an ingress's `/status` that says whether callbacks are not in Kafka yet."""

    origin: str
    last_sequence: int
    forwarded_sequence: int
    spools: tuple[SpoolSummary, ...]


class SpoolSearch:
    """Searches spools for one question."""

    def __init__(
        self,
        directory: Path | None,
        urls: tuple[str, ...],
        question: Question,
        collection: CallbackCollection,
    ) -> None:
        self._directory = directory
        self._urls = urls
        self._question = question
        self._filter = RecordFilter(question)
        self._collection = collection

    async def search(self) -> Extent:
        """
        Search every spool that no process holds, and ask the ingresses that hold the others.

        An ingress says how many callbacks it has not sent to Kafka yet. If there are none, its
        spool is searched: everything in it is in Kafka.

        Raises:
            NotSearched: not all spools can be searched; the others were searched.
        """
        empty, doubts = await self._ask_ingresses()
        searched: list[str] = []
        if self._directory:
            rows, held = await asyncio.to_thread(self._rows_of_directory, self._directory, doubts)
            searched += [name for name, _ in rows]
            for name, (origin, row) in ((n, each) for n, of in rows for each in of):
                self._add(name, origin, row)
            for name in held - empty - doubts.keys():
                doubts[name] = (
                    f"a running ingress holds spool {name}; name its admin address (--ingress URL)"
                )
        for name in searched:
            doubts.pop(name, None)
        if doubts:
            raise NotSearched("; ".join(doubts.values()))
        return Extent(f"{len({*searched, *empty})} spools")

    async def _ask_ingresses(self) -> tuple[set[str], dict[str, str]]:
        """Return the empty spools, and by name or address why others are not searched."""
        answers, doubts = await ask_ingresses(self._urls, IngressStatus)
        empty: set[str] = set()
        unsent: dict[str, str] = {}
        for address, answer in answers.items():
            if isinstance(answer, str):
                doubts[address] = f"{public_url(address)}: {answer}"
                continue
            for spool in answer.spools:
                self._see_status(spool, answer, empty, unsent)
        return empty, doubts | {k: why for k, why in unsent.items() if k not in empty}

    def _see_status(
        self,
        spool: SpoolSummary,
        status: IngressStatus,
        empty: set[str],
        unsent: dict[str, str],
    ) -> None:
        rows, forwarded = spool.rows, None
        if spool.origin == status.origin and spool.last_sequence is not None:
            forwarded = status.forwarded_sequence
            # Rows that were sent stay in the file for a while; `rows` has them, too.
            rows = max(0, spool.last_sequence - forwarded)
        if spool.fault:
            unsent[f"{spool.name} fault"] = f"spool {spool.name}: {spool.fault}"
        elif rows is None:
            unsent.setdefault(spool.name, f"spool {spool.name}: no ingress that was asked knows it")
        elif rows or spool.quarantined:
            at_most = "at most " if rows and forwarded is None else ""
            unsent[spool.name] = (
                f"spool {spool.name} has {at_most}{counted(rows, 'callback')} not in Kafka yet, and"
                f" {len(spool.quarantined)} in quarantine; its ingress shows no rows while it runs"
            )
        else:
            empty.add(spool.name)
        self._add_unsent(spool, forwarded)

    def _add_unsent(self, spool: SpoolSummary, forwarded: int | None) -> None:
        """Add the callback whose place is asked for, if the spool has it and has not sent it."""
        if self._question.place is None or self._question.place[0] != spool.origin:
            return
        sequence = self._question.place[1]
        waits = forwarded is not None and forwarded < sequence <= (spool.last_sequence or 0)
        if waits or sequence in spool.quarantined:
            headers = {"ce_origin": spool.origin, "ce_sequence": str(sequence)}
            note = "in quarantine" if sequence in spool.quarantined else "not in Kafka yet"
            self._collection.add(
                headers, b"", Sighting(store=SPOOL, where=f"spool {spool.name}", note=note)
            )

    def _rows_of_directory(
        self, directory: Path, doubts: dict[str, str]
    ) -> tuple[list[tuple[str, list[tuple[str, Row]]]], set[str]]:
        """Return, by spool, origin and row of what matches; and the spools that others hold."""
        matching: list[tuple[str, list[tuple[str, Row]]]] = []
        held: set[str] = set()
        for corrupt in corrupt_files(directory):
            doubts[f"{corrupt.name} fault"] = f"spool {corrupt.name}: {corrupt.fault}"
        for name in spool_names(directory):
            try:
                with open_unheld(directory, name) as spool:
                    matching.append((name, list(self._matching(spool, doubts))))
            except SpoolInUse:
                held.add(name)
            except (NotVerified, Corrupt, DiskFailed, LimitReached, OSError) as fault:
                doubts[name] = f"spool {name} cannot be read: {fault}"
        return matching, held

    def _matching(self, spool: UnheldSpool, doubts: dict[str, str]) -> Iterator[tuple[str, Row]]:
        origin = spool.state.origin
        for row in _rows(spool, doubts):
            headers = header_texts(with_place_and_id(row.record.headers, origin, row.sequence))
            if self._filter.matches(headers, row.record.value):
                yield origin, row
        if quarantined := spool.state.quarantined_sequences:
            doubts[f"{spool.name} quarantine"] = (
                f"spool {spool.name} has {counted(len(quarantined), 'row')} in quarantine; see"
                f" hookline spool show {spool.name}"
            )

    def _add(self, name: str, origin: str, row: Row) -> None:
        headers = header_texts(with_place_and_id(row.record.headers, origin, row.sequence))
        at = datetime.fromtimestamp(row.received_at_ms / 1000, UTC)
        sighting = Sighting(store=SPOOL, where=f"spool {name}", at=at, note="on disk")
        self._collection.add(headers, row.record.value, sighting)


def _rows(spool: UnheldSpool, doubts: dict[str, str]) -> Iterator[Row]:
    """Yield the rows that can be read; add each damaged one to `doubts`."""
    sequence = 0
    while True:
        try:
            row = spool.row_after(sequence)
        except DamagedCallback as damaged:
            doubts[f"{spool.name} {damaged.sequence}"] = str(damaged)
            sequence = damaged.sequence
            continue
        if row is None:
            return
        yield row
        sequence = row.sequence
