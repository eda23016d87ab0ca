"""The callbacks that were found, each with all of its sightings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas.body import Malformed, parse, to_text
from schemas.body_fields import sent_at
from schemas.callback_record import TIME, sequence_number
from schemas.outgoing_record import ID, ORIGIN, SEQUENCE
from schemas.parties import parties

SPOOL, TOPIC, DEAD_LETTER, ARCHIVE, DATABASE, COUNTERS = (
    *("spool", "topic", "dead letter", "archive", "database", "counters"),
)
# The further callbacks are counted up to this number, so that memory stays bounded.
FURTHER_MAX = 100_000
# Element types of a message that are listed.
ELEMENTS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """
    Where a callback was found, in one of the stores above.

    `at`: when it came there, None if that is not known. `partition` and `offset`: those of its
    record in the main topic, where the store has them.
    """

    store: str
    where: str
    at: datetime | None = None
    note: str = ""
    partition: int | None = None
    offset: int | None = None


@dataclass(slots=True, kw_only=True)
class LocatedCallback:
    """
    A callback: what its record says, and where it was found.

    `body` is None unless bodies were asked for. Of a callback that only the database has, origin
    and sequence are not known.
    """

    origin: str
    sequence: int
    ce_id: str
    app: str = ""
    command: str = ""
    sender: str = ""
    recipient: str = ""
    group: str = ""
    received_at: datetime | None = None
    sent_at: datetime | None = None
    body_bytes: int | None = None
    elements: list[str] = field(default_factory=list)
    body: bytes | None = None
    sightings: list[Sighting] = field(default_factory=list)

    @property
    def record(self) -> tuple[int, int] | None:
        """Partition and offset of its record in the main topic, None if they are not known."""
        for sighting in self.sightings:
            if sighting.partition is not None and sighting.offset is not None:
                return sighting.partition, sighting.offset
        return None


class CallbackCollection:
    """
    Collects sightings by callback; the callbacks after the first `limit` are only counted.

    A row of the database says no origin and sequence, so it is kept apart from the records: it
    counts only while no record with its ce_id was found, whether that one is shown or counted.
    """

    def __init__(self, *, limit: int, keeps_bodies: bool) -> None:
        self._limit = limit
        self._keeps_bodies = keeps_bodies
        self._recorded: dict[tuple[object, ...], LocatedCallback] = {}
        self._further: set[tuple[object, ...]] = set()
        self._further_ids: set[str] = set()
        self._rows: dict[str, LocatedCallback] = {}
        # Whether the database has more rows than those that were added.
        self.has_more_rows = False

    @property
    def callbacks(self) -> Sequence[LocatedCallback]:
        """The callbacks by the time received."""
        last = datetime.max.replace(tzinfo=UTC)
        shown = [*self._recorded.values(), *self._lone_rows()][: self._limit]
        return sorted(shown, key=lambda each: each.received_at or last)

    @property
    def further(self) -> int:
        """The number of callbacks that were found after the first `limit`."""
        beyond = len(self._recorded) + len(self._lone_rows()) - self._limit
        return len(self._further) + max(0, beyond)

    @property
    def is_further_exact(self) -> bool:
        """
        Whether no more than `further` callbacks were left out.

        The younger rows of the database are not added: they may be in no record that was searched.
        """
        return len(self._further) < FURTHER_MAX and not self.has_more_rows

    def add(self, headers: Mapping[str, str], value: bytes, sighting: Sighting) -> None:
        """Add a sighting of the record with these headers and this value."""
        origin, sequence = (
            headers.get(ORIGIN, ""),
            sequence_number(headers.get(SEQUENCE, "").encode()),
        )
        # A record that no ingress wrote has no origin and sequence; its partition and offset do.
        key: tuple[object, ...] = (origin, sequence)
        if not (origin and sequence):
            key = (sighting.partition, sighting.offset, headers.get(ID))
        known = self._recorded.get(key)
        if known is None:
            if len(self._recorded) >= self._limit:
                if len(self._further) < FURTHER_MAX:
                    self._further.add(key)
                    self._further_ids.add(headers.get(ID, ""))
                return
            known = callback_of(headers, value, keeps_body=self._keeps_bodies)
            self._recorded[key] = known
        if sighting not in known.sightings:
            known.sightings.append(sighting)

    def add_row(self, row: LocatedCallback) -> None:
        """Add a callback of which a row of the database was found."""
        if not self._keeps_bodies:
            row.body = None
        self._rows[row.ce_id] = row

    def _lone_rows(self) -> list[LocatedCallback]:
        """Return the rows whose callbacks were not found in a record."""
        shown = {each.ce_id for each in self._recorded.values()}
        return [
            row
            for ce_id, row in self._rows.items()
            if ce_id not in shown and ce_id not in self._further_ids
        ]


def callback_of(headers: Mapping[str, str], value: bytes, *, keeps_body: bool) -> LocatedCallback:
    """Return what a record says of its callback; whatever it does not say stays empty."""
    callback = LocatedCallback(
        origin=headers.get(ORIGIN, ""),
        sequence=sequence_number(headers.get(SEQUENCE, "").encode()),
        ce_id=headers.get(ID, ""),
        app=headers.get("ce_sdkappid", ""),
        command=headers.get("ce_type", ""),
        received_at=_time(headers.get(TIME, "")),
        body_bytes=len(value),
        body=value if keeps_body else None,
    )
    try:
        document = parse(value)
    except Malformed:
        return callback
    people = parties(document)
    callback.sender, callback.recipient = people.sender, people.recipient
    callback.group, callback.sent_at = people.group, sent_at(document)
    callback.elements = _elements(document.get("MsgBody"))
    return callback


def _elements(elements: Any) -> list[str]:
    if not isinstance(elements, list):
        return []
    types = [to_text(each.get("MsgType")) for each in elements if isinstance(each, dict)]
    return [each[:40] for each in types[:ELEMENTS_MAX]]


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None
