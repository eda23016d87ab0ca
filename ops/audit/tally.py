"""
What was seen of every callback, and whether that is what was promised. Pure: it reads nothing.

N is what the spools say. Every sequence 1..N of every origin must be once in Kafka and once in each
sink, all of one `ce_id` with the same content, and what a sender noted as answered OK must be there
as well, byte for byte.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from consumers.archive.segment import Line
from ops.audit import report
from ops.audit.contents import MESSAGE, SETTLED, Contents, Difference, Place
from ops.audit.ends import Ends
from ops.audit.noted import Noted
from ops.audit.places import Places, Sequences, Settled
from ops.audit.report import Counted, Held, OriginReport, Report
from ops.audit.rows import Rows
from ops.simulate.ledger import Entry
from schemas.body import Malformed, parse
from schemas.dead_letter import CONNECT, GROUP, KAFKA_PRODUCE, STAGE
from schemas.event import Event, NotACallback, event
from schemas.identity import Request, content_digest
from schemas.message import MESSAGE_COMMANDS, ONLINE_ONLY, statistic
from schemas.topics import CALLBACKS, DEAD_LETTERS

# How far a sequence may be above its spool's N (what came since), or above 0 where no spool is
# known (all of it). A byte is kept for each.
BEYOND_MAX = 50_000_000

# Whose dead letters stand for which sink: a consumer's name is its group.
SINK_OF_GROUP = {"archive": report.ARCHIVE, "sync": report.POSTGRES, "counters": report.COUNTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the statistics API shows; `people` is None where they are estimated."""

    messages: int
    people: int | None
    # By origin and partition, how many sequences were counted, and their sum (SUM_MODULUS).
    applied: Mapping[str, Mapping[int, tuple[int, int]]]


class Tally:
    """Counts how often each callback was seen where. `synced` and `counted`: these are audited."""

    def __init__(self, ends: Ends, ledger: Iterable[Entry], *, synced: bool, counted: bool) -> None:
        self._ends = ends
        self._later = ends
        self._accepted = ends.accepted
        self._ledger = Noted(ledger, synced=synced)
        self._places: dict[str, Places] = {origin: Places() for origin in self._accepted}
        self._different: list[Difference] = []
        self._differences = 0
        self._contents = Contents(self._differs)
        self._repeats = 0
        self._synced = synced
        self._counted = counted
        self._rows = Rows(self._contents)
        self._statistics = Statistics(messages=0, people=None, applied={})
        self._messages = 0
        self._settled_messages = 0
        # By account, True where a settled callback is among this person's.
        self._people: dict[tuple[str, str], bool] = {}
        self._beginnings: dict[int, int] = {}
        self._ordered_from: dict[int, int] = {}
        self._strangers = 0
        # Of origins without a known spool: what Kafka had at the first report.
        self._unknown: dict[str, int] = {}
        self.records = 0
        self.lines = 0

    @property
    def ledger_ids(self) -> list[str]:
        """Return the identities that the ledger names."""
        return self._ledger.ids

    def places(self, origin: str) -> Places:
        """Return where the callbacks of an origin were seen."""
        return self._places.setdefault(origin, Places())

    def report(self) -> Report:
        """Return what is known now."""
        origins = [self._origin(origin) for origin in sorted(self._places)]
        sinks = {report.POSTGRES: self._synced, report.COUNTS: self._counted}
        return Report(
            origins=origins,
            ledger=self._ledger.report(),
            counted=self._figures() if self._counted else {},
            repeats=self._repeats,
            strangers=self._strangers,
            different=self._differences + self._rows.different,
            different_listed=[*self._different, *self._rows.listed()][: report.LISTED_MAX],
            doubts=self._doubts(),
            damaged=self._ends.damaged,
            not_audited=[sink for sink, audited in sinks.items() if not audited],
        )

    def see_later_ends(self, completed: Ends, later: Ends) -> None:
        """
        Note the ends that were asked for after everything was read.

        `later` is that answer alone: no sequence may be above its ends. `completed` has the doubts
        that are left; it must have the same known ends as before.
        """
        self._ends, self._later = completed, later
        self._accepted = completed.accepted
        for origin in self._accepted:
            self.places(origin)

    def see_beginnings(self, beginnings: dict[int, int]) -> None:
        """Note the lowest offset that each partition of the main topic still has."""
        self._beginnings = beginnings
        # What is read of the topic in the first round has its order from there.
        self._ordered_from = self._ordered_from or beginnings

    def see_dead_letter(
        self, partition: int, offset: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Count a record of the dead-letter topic."""
        self.records += 1
        named = dict(headers)
        seen = self._event(value, named.items())
        if seen is None:
            return
        group = named.get(GROUP)
        if group is None and CONNECT + "offset" in named:
            # It was in a topic before, so no ingress wrote it, and none of our consumers.
            self._strangers += 1
            return
        places = self.places(seen.origin)
        self._see_content(seen, DEAD_LETTERS.name, partition, offset)
        if group is None:
            places.dead_letters.add(seen.sequence)
            if named.get(STAGE) == KAFKA_PRODUCE.encode():
                places.set_aside.setdefault(report.KAFKA, Sequences()).add(seen.sequence)
                for each in (report.KAFKA, report.ARCHIVE, report.POSTGRES):
                    self._ledger.match(seen.id, seen.body, each)
        elif sink := SINK_OF_GROUP.get(group.decode("utf-8", "replace")):
            places.set_aside.setdefault(sink, Sequences()).add(seen.sequence)
            self._ledger.match(seen.id, seen.body, sink)

    def see_record(
        self, partition: int, offset: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Count a record of the main topic, in the order of its partition."""
        self.records += 1
        seen = self._event(value, headers)
        if seen is None:
            return
        places = self.places(seen.origin)
        places.callbacks.add(seen.sequence)
        places.order.setdefault(partition, array("Q")).append(seen.sequence)
        self._see_content(seen, CALLBACKS.name, partition, offset)
        self._ledger.match(seen.id, seen.body, report.KAFKA)
        self._note_message(seen)

    def see_line(self, line: Line) -> None:
        """Count a line of the archive, in the order of its partition."""
        self.lines += 1
        headers = [(name, (header or "").encode()) for name, header in line.headers.items()]
        seen = self._event(line.value, headers)
        if seen is None:
            return
        places = self.places(seen.origin)
        places.archived.add(seen.sequence)
        if line.offset < self._beginnings.get(line.partition, 0):
            places.expired.add(seen.sequence)
        if line.offset < self._ordered_from.get(line.partition, 0):
            places.order_expired.setdefault(line.partition, array("Q")).append(seen.sequence)
        self._see_content(seen, line.topic, line.partition, line.offset)
        self._ledger.match(seen.id, seen.body, report.ARCHIVE)
        self._note_message(seen)

    def see_expired(self, partition: int, origins: Mapping[str, tuple[int, int]]) -> None:
        """Note between which sequences some were expired from the archive's partition."""
        for origin, run in origins.items():
            places = self.places(origin)
            places.expired_runs.setdefault(partition, []).append(run)

    def forget_receipts(self) -> None:
        """Forget all receipts and rows of the database, before they are read again."""
        self._rows.forget()
        for places in self._places.values():
            places.synced = Sequences()

    def see_receipts(self, receipts: Iterable[tuple[str, int, str, bytes]]) -> None:
        """Count receipts of the database: origin, sequence, `ce_id`, SHA-256 of the row's body."""
        for origin, sequence, ce_id, sha256 in receipts:
            places = self.places(origin)
            if not self._is_countable(origin, sequence):
                continue
            places.synced.add(sequence)
            self._rows.see(ce_id, sha256, origin, sequence)

    def see_row(self, identity: str, sha256: str) -> None:
        """Note that the database has a body of the ledger, with this digest."""
        self._ledger.compare(identity, sha256, report.POSTGRES)

    def see_statistics(self, statistics: Statistics) -> None:
        """Take what the statistics show. Read them before the records of the same round."""
        self._statistics = statistics
        for origin in statistics.applied:
            self.places(origin)

    def _event(self, value: bytes, headers: Iterable[tuple[str, bytes]]) -> Event | None:
        """Return the event of a record by its headers, None if it is not counted."""
        try:
            seen = event(value, headers)
        except NotACallback:
            self._strangers += 1
            return None
        return seen if self._is_countable(seen.origin, seen.sequence) else None

    def _is_countable(self, origin: str, sequence: int) -> bool:
        """Return whether a sequence is counted; a far too high one makes its origin doubtful."""
        if sequence > (self._accepted.get(origin) or 0) + BEYOND_MAX:
            places = self.places(origin)
            places.beyond = max(places.beyond, sequence)
            return False
        if sequence < 1:
            self._strangers += 1
            return False
        return True

    def _see_content(self, seen: Event, topic: str, partition: int, offset: int) -> None:
        place = Place(seen.origin, seen.sequence, topic, partition, offset)
        request = Request(seen.sdkappid, seen.command, seen.client_ip, seen.opt_platform, seen.body)
        self._repeats += self._contents.add(
            seen.id, seen.body, place, partial(content_digest, request)
        )

    def _differs(self, difference: Difference) -> None:
        self._differences += 1
        if len(self._different) < report.LISTED_MAX:
            self._different.append(difference)

    def _note_message(self, seen: Event) -> None:
        if not self._counted or seen.command not in MESSAGE_COMMANDS:
            return
        settled = seen.sequence <= (self._accepted.get(seen.origin) or 0)
        is_new = self._contents.mark(seen.id, MESSAGE)
        is_newly_settled = settled and self._contents.mark(seen.id, SETTLED)
        if not (is_new or is_newly_settled):
            return
        try:
            kinds, people = statistic(seen.command, seen.opt_platform, parse(seen.body))
        except Malformed:
            return  # no ingress wrote it, and no consumer counts it
        if ONLINE_ONLY in kinds:
            return
        self._messages += is_new
        self._settled_messages += is_newly_settled
        for account in people:
            person = (seen.sdkappid, account)
            self._people[person] = self._people.get(person, False) or settled

    def _figures(self) -> dict[str, Counted]:
        expired = sum(
            places.unprovable(self._settled(origin)) for origin, places in self._places.items()
        )
        shown = {"messages": self._statistics.messages, "people": self._statistics.people}
        least = {"messages": self._settled_messages, "people": sum(self._people.values())}
        # Each callback that has expired may have been a message of two people.
        most = {"messages": self._messages + expired, "people": len(self._people) + 2 * expired}
        return {
            figure: Counted(shown=value, least=least[figure], most=most[figure])
            for figure, value in shown.items()
            if value is not None
        }

    def _settled(self, origin: str) -> Settled:
        accepted = self._accepted.get(origin)
        if accepted is None:
            highest = self._places[origin].callbacks.highest
            return Settled(self._unknown.setdefault(origin, highest), known=False)
        return Settled(accepted, known=True)

    def _origin(self, origin: str) -> OriginReport:
        places, settled = self._places[origin], self._settled(origin)
        sinks = {
            report.KAFKA: places.in_kafka(settled),
            report.DEAD_LETTERS: Held(sequences=places.dead_letters.distinct),
            report.ARCHIVE: places.in_sink(report.ARCHIVE, places.archived, settled),
        }
        if self._synced:
            sinks[report.POSTGRES] = places.in_sink(report.POSTGRES, places.synced, settled)
        if self._counted:
            counted = self._statistics.applied.get(origin, {})
            sinks[report.COUNTS] = places.in_counts(counted, settled)
        return OriginReport(
            origin=origin,
            accepted=self._accepted.get(origin),
            sinks=sinks,
            expired=places.unprovable(settled),
        )

    def _doubts(self) -> dict[str, str]:
        doubts = dict(self._ends.doubts)
        for origin, places in self._places.items():
            accepted = self._accepted.get(origin)
            if accepted is None:
                doubts.setdefault(
                    origin,
                    f"origin {origin}: a sink or Kafka has it, but no spool of it is known, so"
                    " the number of its callbacks is not known; name the ingress or the"
                    " directory that has its spool",
                )
                continue
            end = max(self._later.accepted.get(origin) or 0, accepted)
            if places.highest > end:
                doubts[origin] = (
                    f"origin {origin}: its spool was given {end} callbacks, but sequence"
                    f" {places.highest} was seen; either the spool was put back to an older state,"
                    " and its end is lost, or its process stopped answering while callbacks came:"
                    " audit again"
                )
        return doubts
