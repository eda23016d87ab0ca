"""
What was seen of every callback, and whether that is what was promised. Pure: it reads nothing.

N is what the spools say. Every sequence 1..N of every origin must be once in Kafka and once in each
sink, and what a sender noted as answered OK must be there as well, byte for byte.
"""

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consumers.archive.segment import Line
from ops import report
from ops.ledger import Entry
from ops.places import Places, Sequences, Settled
from ops.report import Counted, Held, LedgerReport, OriginReport, Report
from schemas.body import Malformed, parse
from schemas.dead_letter import GROUP
from schemas.event import Event, NotACallback, event
from schemas.message import MESSAGE_COMMANDS, ONLINE_ONLY, statistic

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


# N by origin; None where its spool cannot be read any more, so that nobody can say.
Accepted = dict[str, int | None]


class Tally:
    """Counts how often each callback was seen where. `synced` and `counted`: these are audited."""

    def __init__(
        self, accepted: Accepted, ledger: Iterable[Entry], *, synced: bool, counted: bool
    ) -> None:
        self._accepted = accepted
        self._ledger = {_key(entry.id): entry for entry in ledger}
        self._places: dict[str, Places] = {origin: Places() for origin in accepted}
        # By sink, which of the ledger's callbacks are in it.
        self._found: dict[str, set[bytes]] = {report.KAFKA: set(), report.ARCHIVE: set()}
        self._changed: set[bytes] = set()
        self._ids: set[bytes] = set()
        self._repeats = 0
        self._synced = synced
        if synced:
            self._found[report.POSTGRES] = set()
        self._counted = counted
        self._statistics = Statistics(messages=0, people=None, applied={})
        # Ids of messages and accounts of people; True where a settled callback is among theirs.
        self._messages: dict[bytes, bool] = {}
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
        return [entry.id for entry in self._ledger.values()]

    def report(self) -> Report:
        """Return what is known now."""
        return Report(
            origins=[self._origin(origin) for origin in sorted(self._places)],
            ledger=self._ledger_report() if self._ledger else None,
            counted=self._figures() if self._counted else {},
            repeats=self._repeats,
            strangers=self._strangers,
        )

    def see_beginnings(self, beginnings: dict[int, int]) -> None:
        """Note the lowest offset that each partition of the main topic still has."""
        self._beginnings = beginnings
        # What is read of the topic in the first round has its order from there.
        self._ordered_from = self._ordered_from or beginnings

    def see_dead_letter(self, headers: Iterable[tuple[str, bytes]]) -> None:
        """Count a record of the dead-letter topic."""
        self.records += 1
        told = self._told(b"", headers)
        if told is None:
            return
        places = self._places.setdefault(told.origin, Places())
        group = dict(headers).get(GROUP)
        if group is None:
            places.dead_letters.add(told.sequence)
        elif sink := SINK_OF_GROUP.get(group.decode("utf-8", "replace")):
            places.set_aside.setdefault(sink, Sequences()).add(told.sequence)

    def see_record(
        self, partition: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Count a record of the main topic, in the order of its partition."""
        self.records += 1
        told = self._told(value, headers)
        if told is None:
            return
        places = self._places.setdefault(told.origin, Places())
        places.callbacks.add(told.sequence)
        places.order.setdefault(partition, array("Q")).append(told.sequence)
        identity = _key(told.id)
        self._repeats += identity in self._ids
        self._ids.add(identity)
        self._match(identity, told, report.KAFKA)
        self._note_message(identity, told)

    def see_line(self, line: Line) -> None:
        """Count a line of the archive, in the order of its partition."""
        self.lines += 1
        headers = [(name, (header or "").encode()) for name, header in line.headers.items()]
        told = self._told(line.value, headers)
        if told is None:
            return
        places = self._places.setdefault(told.origin, Places())
        places.archived.add(told.sequence)
        if line.offset < self._beginnings.get(line.partition, 0):
            places.expired.add(told.sequence)
        if line.offset < self._ordered_from.get(line.partition, 0):
            places.order_expired.setdefault(line.partition, array("Q")).append(told.sequence)
        identity = _key(told.id)
        self._match(identity, told, report.ARCHIVE)
        self._note_message(identity, told)

    def see_expired(self, partition: int, origins: Mapping[str, tuple[int, int]]) -> None:
        """Note between which sequences some were expired from the archive's partition."""
        for origin, run in origins.items():
            places = self._places.setdefault(origin, Places())
            places.expired_runs.setdefault(partition, []).append(run)

    def see_receipts(self, receipts: Iterable[tuple[str, int]]) -> None:
        """Take the database's receipts, all of them: what was seen of it before is forgotten."""
        for places in self._places.values():
            places.synced = Sequences()
        for origin, sequence in receipts:
            self._places.setdefault(origin, Places()).synced.add(sequence)

    def see_row(self, identity: str, sha256: str) -> None:
        """Note that the database has a body of the ledger, with this digest."""
        self._compare(_key(identity), sha256, report.POSTGRES)

    def see_statistics(self, statistics: Statistics) -> None:
        """Take what the statistics show. Read them before the records of the same round."""
        self._statistics = statistics

    def _told(self, value: bytes, headers: Iterable[tuple[str, bytes]]) -> Event | None:
        try:
            told = event(value, headers)
        except NotACallback:
            self._strangers += 1
            return None
        if told.sequence > (self._accepted.get(told.origin) or 0) + BEYOND_MAX:
            self._strangers += 1
            return None
        return told

    def _match(self, identity: bytes, told: Event, sink: str) -> None:
        if identity in self._ledger:
            self._compare(identity, hashlib.sha256(told.body).hexdigest(), sink)

    def _compare(self, identity: bytes, sha256: str, sink: str) -> None:
        self._found[sink].add(identity)
        if self._ledger[identity].sha256 != sha256:
            self._changed.add(identity)

    def _note_message(self, identity: bytes, told: Event) -> None:
        if not self._counted or told.command not in MESSAGE_COMMANDS:
            return
        settled = told.sequence <= (self._accepted.get(told.origin) or 0)
        if identity in self._messages and (self._messages[identity] or not settled):
            return
        try:
            kinds, people = statistic(told.command, told.opt_platform, parse(told.body))
        except Malformed:
            return  # no ingress wrote it, and no consumer counts it
        if ONLINE_ONLY in kinds:
            return
        self._messages[identity] = settled
        for account in people:
            person = (told.sdkappid, account)
            self._people[person] = self._people.get(person, False) or settled

    def _figures(self) -> dict[str, Counted]:
        shown = {"messages": self._statistics.messages, "people": self._statistics.people}
        known = {"messages": self._messages.values(), "people": self._people.values()}
        # Of what was expired nobody knows any more how much it makes.
        anything_expired = any(places.expired_runs for places in self._places.values())
        return {
            figure: Counted(
                shown=value,
                least=sum(known[figure]),
                most=max(value, len(known[figure])) if anything_expired else len(known[figure]),
            )
            for figure, value in shown.items()
            if value is not None
        }

    def _origin(self, origin: str) -> OriginReport:
        places, accepted = self._places[origin], self._accepted.get(origin)
        if accepted is None:
            settled = Settled(self._unknown.setdefault(origin, places.callbacks.reach), known=False)
        else:
            settled = Settled(accepted, known=True)
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
            origin=origin, accepted=accepted, sinks=sinks, expired=places.unprovable(settled)
        )

    def _ledger_report(self) -> LedgerReport:
        outcomes = [entry.outcome for entry in self._ledger.values()]
        ok = {identity for identity, entry in self._ledger.items() if entry.outcome == "ok"}
        unanswered = {i for i, entry in self._ledger.items() if entry.outcome == "unanswered"}
        # What retention deleted from Kafka is proven by the archive.
        found = self._found | {
            report.KAFKA: self._found[report.KAFKA] | self._found[report.ARCHIVE]
        }
        missing = {sink: ok - there for sink, there in found.items()}
        faulty = sorted(self._changed.union(*missing.values()))
        return LedgerReport(
            sent=len(outcomes),
            ok=outcomes.count("ok"),
            refused=outcomes.count("refused"),
            unanswered=outcomes.count("unanswered"),
            unanswered_but_stored=len(unanswered & found[report.KAFKA]),
            missing={sink: len(lacking) for sink, lacking in missing.items()},
            changed=len(self._changed),
            listed=[self._ledger[identity].id for identity in faulty[: report.LISTED_MAX]],
        )


def _key(identity: str) -> bytes:
    # 16 bytes in place of 32 letters; another producer's id is whatever it is.
    try:
        return bytes.fromhex(identity)
    except ValueError:
        return identity.encode()
