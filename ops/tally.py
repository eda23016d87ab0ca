"""
What was seen of every callback, and whether that is what was promised. Pure: it reads nothing.

N is what the spools say. Every sequence 1..N of every origin must be once in Kafka and once in the
archive, and what a sender noted as answered OK must be there as well, byte for byte.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from consumers.archive.segment import Line
from ops.ledger import Entry
from schemas.dead_letter import GROUP
from schemas.record import ID, ORIGIN, SEQUENCE
from schemas.topics import DEAD_LETTERS

LISTED_MAX = 20
ARCHIVE = "archive"


@dataclass(slots=True)
class _Places:
    """How often each sequence of an origin was seen; index 0 is never used."""

    callbacks: bytearray = field(default_factory=bytearray)
    dead_letters: bytearray = field(default_factory=bytearray)
    set_aside: bytearray = field(default_factory=bytearray)
    archived: bytearray = field(default_factory=bytearray)
    # Archived from offsets that the topic's retention has deleted: the archive's word counts.
    expired: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginReport:
    """One spool's callbacks. The lists hold the first LISTED_MAX sequences."""

    origin: str
    accepted: int | None
    in_kafka: int
    dead_letters: int
    archived: int
    missing_in_kafka: int
    doubled_in_kafka: int
    missing_in_archive: int
    doubled_in_archive: int
    listed: dict[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """What the sender noted against what is stored. The list holds the first LISTED_MAX ids."""

    sent: int
    ok: int
    refused: int
    unanswered: int
    unanswered_but_stored: int
    missing_in_kafka: int
    missing_in_archive: int
    changed: int
    listed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole proof. `repeats`: callbacks that the sender sent again; no fault."""

    origins: list[OriginReport]
    ledger: LedgerReport | None
    repeats: int

    @property
    def missing(self) -> int:
        """
        Callbacks that are not where they must be, or not as they were sent, over all sinks.

        By number where the spools know them; else what the sender's ledger misses beyond that.
        """
        by_number = sum(o.missing_in_kafka + o.missing_in_archive for o in self.origins)
        if self.ledger is None:
            return by_number
        by_ledger = self.ledger.missing_in_kafka + self.ledger.missing_in_archive
        return max(by_number, by_ledger) + self.ledger.changed

    @property
    def doubled(self) -> int:
        """Callbacks that are in a sink more than once."""
        return sum(o.doubled_in_kafka + o.doubled_in_archive for o in self.origins)

    @property
    def unproven(self) -> list[str]:
        """Origins that records name and no spool is known of: their N is unknown."""
        return [o.origin for o in self.origins if o.accepted is None]

    @property
    def proven(self) -> bool:
        """Tell whether everything is in every sink exactly once."""
        return not (self.missing or self.doubled or self.unproven)

    def as_dict(self) -> dict[str, object]:
        """Return the report for `--json`."""
        return asdict(self) | {
            "missing": self.missing,
            "doubled": self.doubled,
            "unproven": self.unproven,
            "proven": self.proven,
        }


@dataclass(frozen=True, slots=True)
class _Stored:
    in_kafka: set[bytes] = field(default_factory=set)
    in_archive: set[bytes] = field(default_factory=set)
    changed: set[bytes] = field(default_factory=set)


class Tally:
    """Counts how often each callback was seen where."""

    def __init__(self, accepted: dict[str, int], ledger: Iterable[Entry]) -> None:
        self._accepted = accepted
        self._ledger = {bytes.fromhex(entry.id): entry for entry in ledger}
        self._places: dict[str, _Places] = {origin: _Places() for origin in accepted}
        self._stored = _Stored()
        self._ids: set[bytes] = set()
        self._repeats = 0
        # The lowest offset that each partition of the main topic still has.
        self.beginnings: dict[int, int] = {}
        self.records = 0
        self.lines = 0

    def report(self) -> Report:
        """Return what is known now."""
        return Report(
            origins=[self._origin(origin) for origin in sorted(self._places)],
            ledger=self._ledger_report() if self._ledger else None,
            repeats=self._repeats,
        )

    def see_record(self, topic: str, headers: dict[str, bytes], value: bytes) -> None:
        """Count a record of one of the two topics."""
        self.records += 1
        place = _place(headers.get(ORIGIN, b"").decode(), headers.get(SEQUENCE, b"").decode())
        if place is None:
            return
        places = self._places.setdefault(place[0], _Places())
        if topic == DEAD_LETTERS.name:
            if (failed_group := headers.get(GROUP)) is None:
                _add(places.dead_letters, place[1])
            elif failed_group.decode() == ARCHIVE:
                _add(places.set_aside, place[1])
            return
        _add(places.callbacks, place[1])
        identity = bytes.fromhex(headers[ID].decode())
        self._repeats += identity in self._ids
        self._ids.add(identity)
        self._match(identity, value, self._stored.in_kafka)

    def see_line(self, line: Line) -> None:
        """Count a line of the archive."""
        self.lines += 1
        headers = {name: value or "" for name, value in line.headers.items()}
        place = _place(headers.get(ORIGIN, ""), headers.get(SEQUENCE, ""))
        if place is None:
            return
        places = self._places.setdefault(place[0], _Places())
        _add(places.archived, place[1])
        if line.offset < self.beginnings.get(line.partition, 0):
            _add(places.expired, place[1])
        self._match(bytes.fromhex(headers[ID]), line.value, self._stored.in_archive)

    def _match(self, identity: bytes, value: bytes, found: set[bytes]) -> None:
        entry = self._ledger.get(identity)
        if entry is not None:
            found.add(identity)
            if hashlib.sha256(value).hexdigest() != entry.sha256:
                self._stored.changed.add(identity)

    def _origin(self, origin: str) -> OriginReport:
        places = self._places[origin]
        accepted = self._accepted.get(origin)
        seen = (places.callbacks, places.dead_letters, places.archived)
        reach = max(map(len, seen))
        listed: dict[str, list[int]] = {
            "missing_in_kafka": [],
            "doubled_in_kafka": [],
            "missing_in_archive": [],
            "doubled_in_archive": [],
        }
        for sequence in range(1, max(accepted or 0, reach) + 1):
            dead = _count(places.dead_letters, sequence)
            in_kafka = _count(places.callbacks, sequence) + dead
            archived = _count(places.archived, sequence)
            kept = archived + _count(places.set_aside, sequence)
            # What came after N was read may still be on its way.
            settled = accepted is not None and sequence <= accepted
            if settled and not in_kafka and not _count(places.expired, sequence):
                listed["missing_in_kafka"].append(sequence)
            if in_kafka > 1:
                listed["doubled_in_kafka"].append(sequence)
            if settled and not kept and not dead:
                listed["missing_in_archive"].append(sequence)
            if archived > 1:
                listed["doubled_in_archive"].append(sequence)
        return OriginReport(
            origin=origin,
            accepted=accepted,
            in_kafka=_distinct(places.callbacks),
            dead_letters=_distinct(places.dead_letters),
            archived=_distinct(places.archived),
            missing_in_kafka=len(listed["missing_in_kafka"]),
            doubled_in_kafka=len(listed["doubled_in_kafka"]),
            missing_in_archive=len(listed["missing_in_archive"]),
            doubled_in_archive=len(listed["doubled_in_archive"]),
            listed={fault: found[:LISTED_MAX] for fault, found in listed.items()},
        )

    def _ledger_report(self) -> LedgerReport:
        outcomes = [entry.outcome for entry in self._ledger.values()]
        ok = {identity for identity, entry in self._ledger.items() if entry.outcome == "ok"}
        not_in_kafka = ok - self._stored.in_kafka - self._stored.in_archive
        not_in_archive = ok - self._stored.in_archive
        unanswered = {i for i, entry in self._ledger.items() if entry.outcome == "unanswered"}
        faulty = sorted(not_in_kafka | not_in_archive | self._stored.changed)
        return LedgerReport(
            sent=len(outcomes),
            ok=outcomes.count("ok"),
            refused=outcomes.count("refused"),
            unanswered=outcomes.count("unanswered"),
            unanswered_but_stored=len(unanswered & self._stored.in_kafka),
            missing_in_kafka=len(not_in_kafka),
            missing_in_archive=len(not_in_archive),
            changed=len(self._stored.changed),
            listed=[identity.hex() for identity in faulty[:LISTED_MAX]],
        )


def _place(origin: str, sequence: str) -> tuple[str, int] | None:
    # A record of another producer has no place; it is none of ours to prove.
    return (origin, int(sequence)) if origin and sequence.isdigit() else None


def _add(counts: bytearray, sequence: int) -> None:
    if sequence >= len(counts):
        counts.extend(bytes(max(sequence + 1 - len(counts), len(counts))))
    counts[sequence] = min(counts[sequence] + 1, 255)


def _count(counts: bytearray, sequence: int) -> int:
    return counts[sequence] if sequence < len(counts) else 0


def _distinct(counts: bytearray) -> int:
    return len(counts) - counts.count(0)
