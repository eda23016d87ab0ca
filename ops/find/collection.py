"""The callbacks that were found, each with all places in which it is."""

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
class Place:
    """
    One place of a callback, in one of the stores above.

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
    A callback: what its record says, and its places.

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
    places: list[Place] = field(default_factory=list)

    @property
    def record(self) -> tuple[int, int] | None:
        """Partition and offset of its record in the main topic, None if they are not known."""
        for place in self.places:
            if place.partition is not None and place.offset is not None:
                return place.partition, place.offset
        return None


class CallbackCollection:
    """Collects places by callback; the callbacks after the first `limit` are only counted."""

    def __init__(self, *, limit: int, keeps_bodies: bool) -> None:
        self._limit = limit
        self._keeps_bodies = keeps_bodies
        self._callbacks: dict[tuple[object, ...], LocatedCallback] = {}
        self._further: set[tuple[object, ...]] = set()

    @property
    def callbacks(self) -> Sequence[LocatedCallback]:
        """The callbacks by the time received."""
        last = datetime.max.replace(tzinfo=UTC)
        return sorted(self._callbacks.values(), key=lambda each: each.received_at or last)

    @property
    def further(self) -> int:
        """The number of callbacks that were found after the first `limit`."""
        return len(self._further)

    def add(self, headers: Mapping[str, str], value: bytes, place: Place) -> None:
        """Add a place of the record with these headers and this value."""
        origin, sequence = (
            headers.get(ORIGIN, ""),
            sequence_number(headers.get(SEQUENCE, "").encode()),
        )
        # A record that no ingress wrote has no place of its own; its place in Kafka is.
        key: tuple[object, ...] = (origin, sequence)
        if not (origin and sequence):
            key = (place.partition, place.offset, headers.get(ID))
        known = self._callbacks.get(key)
        if known is None:
            if len(self._callbacks) >= self._limit:
                if len(self._further) < FURTHER_MAX:
                    self._further.add(key)
                return
            known = callback_of(headers, value, keeps_body=self._keeps_bodies)
            self._callbacks[key] = known
        if place not in known.places:
            known.places.append(place)

    def add_row(self, row: LocatedCallback) -> None:
        """Add a callback of which only a row of the database was found."""
        if not self._keeps_bodies:
            row.body = None
        if len(self._callbacks) < self._limit:
            self._callbacks[(row.ce_id,)] = row
        elif len(self._further) < FURTHER_MAX:
            self._further.add((row.ce_id,))

    def drop_rows(self) -> None:
        """Drop the rows of the database whose callbacks were found elsewhere, too."""
        elsewhere = {each.ce_id for key, each in self._callbacks.items() if len(key) > 1}
        for key in [key for key in self._callbacks if len(key) == 1 and key[0] in elsewhere]:
            del self._callbacks[key]


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
