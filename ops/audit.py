"""
The proof: every sequence 1..N of every origin once in Kafka and once in the archive.

N is what the spools say. What a sender noted as answered OK must be there as well, byte for byte.
Reading is incremental, so an audit can wait for the rest to arrive without beginning again.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from consumers.archive.segment import Damaged, Line, read_lines
from consumers.archive.store import LocalStore
from ingress.spool import summaries
from ops.ledger import Entry
from schemas.dead_letter import GROUP
from schemas.record import ID, ORIGIN, SEQUENCE
from schemas.topics import CALLBACKS, DEAD_LETTERS

LISTED_MAX = 20
ARCHIVE = "archive"


class NotAudited(Exception):
    """Something that the proof needs cannot be read; the text says what."""


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
        """Callbacks that are not where they must be, over all sinks."""
        found = sum(o.missing_in_kafka + o.missing_in_archive for o in self.origins)
        if self.ledger:
            found += self.ledger.missing_in_kafka + self.ledger.missing_in_archive
            found += self.ledger.changed
        return found

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


class Audit:
    """Reads Kafka and the archive as far as they go, again and again, and reports."""

    def __init__(self, accepted: dict[str, int], ledger: Iterable[Entry], *, archive: Path) -> None:
        self._accepted = accepted
        self._ledger = {bytes.fromhex(entry.id): entry for entry in ledger}
        self._with_ledger = bool(self._ledger)
        self._archive = LocalStore(archive)
        self._read_segments: set[Path] = set()
        self._places: dict[str, _Places] = {origin: _Places() for origin in accepted}
        self._stored = _Stored()
        self._ids: set[bytes] = set()
        self._repeats = 0
        self._beginnings: dict[int, int] = {}
        self.records_read = 0
        self.lines_read = 0

    async def read_kafka(self, reader: AIOKafkaConsumer) -> None:
        """Read both topics from where the last call ended to their present ends."""
        partitions = list(reader.assignment())
        beginnings = await reader.beginning_offsets(partitions)
        self._beginnings = {
            tp.partition: at for tp, at in beginnings.items() if tp.topic == CALLBACKS.name
        }
        ends = await reader.end_offsets(partitions)
        while any([await reader.position(tp) < ends[tp] for tp in partitions]):
            for tp, records in (await reader.getmany(timeout_ms=500)).items():
                for record in records:
                    self.records_read += 1
                    self._see_record(tp.topic, dict(record.headers), record.value or b"")

    def read_archive(self) -> None:
        """
        Read the segments that the last call has not seen.

        Raises:
            Damaged: one of them is not what was written.
        """
        for path in self._archive.segments():
            if path not in self._read_segments:
                with path.open("rb") as file:
                    for line in read_lines(file):
                        self.lines_read += 1
                        self._see_line(msgspec.json.decode(line, type=Line))
                self._read_segments.add(path)

    def report(self) -> Report:
        """Return what is known now."""
        return Report(
            origins=[self._origin(origin) for origin in sorted(self._places)],
            ledger=self._ledger_report() if self._with_ledger else None,
            repeats=self._repeats,
        )

    def _see_record(self, topic: str, headers: dict[str, bytes], value: bytes) -> None:
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

    def _see_line(self, line: Line) -> None:
        headers = {name: value or "" for name, value in line.headers.items()}
        place = _place(headers.get(ORIGIN, ""), headers.get(SEQUENCE, ""))
        if place is None:
            return
        places = self._places.setdefault(place[0], _Places())
        _add(places.archived, place[1])
        if line.offset < self._beginnings.get(line.partition, 0):
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


async def audit(
    accepted: dict[str, int],
    *,
    bootstrap_servers: str,
    archive: Path,
    ledger: Sequence[Entry],
    wait_s: float,
    progress: Callable[[Audit], None],
) -> Report:
    """
    Read everything and report; what is missing is waited for, up to `wait_s`.

    Raises:
        NotAudited: Kafka or the archive cannot be read.
    """
    deadline = time.monotonic() + wait_s
    running = Audit(accepted, ledger, archive=archive)
    async with _reader(bootstrap_servers) as reader:
        while True:
            await running.read_kafka(reader)
            await asyncio.to_thread(running.read_archive)
            progress(running)
            report = running.report()
            if not report.missing or time.monotonic() > deadline:
                return report
            await asyncio.sleep(0.5)


async def accepted_by_status(admin_url: str) -> dict[str, int]:
    """
    Return N of every origin that a running ingress knows.

    Raises:
        NotAudited: it does not answer.
    """
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.get(f"{admin_url}/status") as response,
        ):
            status = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotAudited(f"{admin_url}/status does not answer: {error!r}") from error
    return {
        spool["origin"]: spool["last_sequence"]
        for spool in status["spools"]
        if spool["last_sequence"] is not None
    }


def accepted_by_spools(directory: Path) -> dict[str, int]:
    """
    Return N of every origin in a spool directory that no ingress uses.

    Raises:
        NotAudited: the directory is not there, or a process holds one of its spools.
    """
    if not directory.is_dir():
        raise NotAudited(f"{directory} is no directory")
    found = {}
    for spool in summaries(directory):
        if spool.last_sequence is None:
            raise NotAudited(
                f"spool {spool.origin} is held by a running ingress; "
                "name its admin address instead: --ingress http://HOST:8081"
            )
        found[spool.origin] = spool.last_sequence
    return found


@asynccontextmanager
async def _reader(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    # Without a group every partition of the topics is read.
    reader = AIOKafkaConsumer(
        CALLBACKS.name,
        DEAD_LETTERS.name,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await reader.start()
        yield reader
    except KafkaError as error:
        raise NotAudited(f"Kafka at {bootstrap_servers}: {error!r}") from error
    except Damaged as error:
        raise NotAudited(f"the archive: {error}") from error
    finally:
        await reader.stop()


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
