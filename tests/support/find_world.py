"""
A made-up archive, and what is in it, for tests of `hookline find`.

The model of a callback has the texts that identify it before they are written as JSON, so that the
expected result does not depend on the code that is tested.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from support.builders import APP, reached

from consumers.archive import new_segment
from consumers.runtime.batch import Batch, Partition, Record
from schemas.body import Malformed
from schemas.outgoing_record import (
    ReceivedCallback,
    main_topic_record,
    malformed_record,
    with_place_and_id,
)
from schemas.topics import CALLBACKS

BEGINS = datetime(2026, 1, 31, 8, tzinfo=UTC)
PARTITIONS = 2
ORIGINS = ("00ff00ff00ff00ff", "0123456789abcdef")
# In Python's text a lone surrogate is one character; sinks have the six characters of its escape.
ACCOUNTS = (
    *("jared", "Jonh", "8611111111111", "1", "a/b", 'say "hi"', "back\\slash", "tab\there"),
    *("张三", "emoji😀", "nul\0nul", "lone\ud800", "@RBT#robot", "a", "line\nfeed", "ünïcode"),
)
# Characters that JSON, or UTF-8, has only as escapes, and those with a short escape.
_ESCAPED = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t"}
GROUPS = ("@TGS#1", "@TGS#_房间", "room/7")


@dataclass(kw_only=True)
class Made:
    """One record: what identifies its callback, and where it is."""

    names: set[str]
    people: set[str]
    group: str
    sent_at: datetime
    record: Record
    partition: int
    ce_id: str = ""
    origin: str = ""
    sequence: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def taken_at(self) -> datetime:
        """The time when Kafka took the record."""
        return datetime.fromtimestamp(self.record.timestamp_ms / 1000, UTC)

    @property
    def place(self) -> str:
        """Origin and sequence."""
        return f"{self.origin}/{self.sequence}"

    @property
    def is_broken(self) -> bool:
        """Whether the body is not UTF-8, so no JSON."""
        return self.record.value.endswith(b"\xff")

    @property
    def offset(self) -> tuple[int, int]:
        """The partition and the offset of the record."""
        return self.partition, self.record.offset


def written(chance: random.Random, value: Any, escaped: float) -> str:
    """Return a value as JSON in which each character may be written as an escape."""
    if isinstance(value, dict):
        inner = [f"{written(chance, k, 0)}:{written(chance, v, escaped)}" for k, v in value.items()]
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(chance, each, escaped) for each in value) + "]"
    if isinstance(value, str):
        if not escaped and not _ESCAPED.search(value):
            return f'"{value}"'
        return '"' + "".join(_character(chance, each, escaped) for each in value) + '"'
    return str(value)


def _character(chance: random.Random, character: str, escaped: float) -> str:
    must = _ESCAPED.match(character)
    if not must and chance.random() >= escaped:
        return character
    if character in _SHORT and chance.random() < 0.5:
        return _SHORT[character]
    units = character.encode("utf-16-be", "surrogatepass")
    form = chance.choice(("\\u{:02x}{:02x}", "\\u{:02X}{:02X}"))
    return "".join(form.format(units[at], units[at + 1]) for at in range(0, len(units), 2))


def as_sinks_have(text: str) -> str:
    """Return an account as sinks have it: a lone surrogate is the text of its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


class World:
    """Records of ten hours in an archive; the same seed makes the same."""

    def __init__(self, seed: int, directory: Path, *, records: int = 250) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - a model, not secrets
        self.directory = directory
        self.made: list[Made] = []
        self._sequences = dict.fromkeys(ORIGINS, 0)
        self._earlier: list[tuple[bytes, Made]] = []
        times = sorted(self.chance.uniform(0, 36_000) for _ in range(records))
        # Borders of hours are where a segment ends and the next one begins.
        times += [3600 * hour + shift for hour in range(1, 9) for shift in (-0.001, 0, 0.001)]
        waits = [(at + self._wait_s(), at) for at in sorted(times)]
        offsets = [0] * PARTITIONS
        for taken_s, received_s in sorted(waits):
            partition = self.chance.randrange(PARTITIONS)
            self._make(partition, offsets[partition], received_s, taken_s)
            offsets[partition] += self.chance.choice((1, 1, 1, 2))
        self._write_segments()

    def _wait_s(self) -> float:
        return self.chance.choice((0.01, 0.01, 0.01, 0.5, 0.5, 7_500, 14_000))

    def _make(self, partition: int, offset: int, received_s: float, taken_s: float) -> None:
        received_at = BEGINS + timedelta(seconds=received_s)
        if self._earlier and self.chance.random() < 0.1:
            body, before = self.chance.choice(self._earlier)
            made = Made(
                names=before.names,
                people=before.people,
                group=before.group,
                sent_at=before.sent_at,
                record=before.record,
                partition=partition,
            )
        else:
            body, made = self._callback(received_at, partition)
            self._earlier.append((body, made))
        origin = self.chance.choice(ORIGINS)
        self._sequences[origin] += 1
        callback = ReceivedCallback(
            sdkappid=APP,
            url_command="",
            client_ip="",
            opt_platform="iOS",
            received_at_ms=int(received_at.timestamp() * 1000),
            body=body,
        )
        try:
            wire = main_topic_record(callback)
        except Malformed as malformed:  # another producer's record: the ingress would not write it
            wire = malformed_record(callback, malformed)
        headers = with_place_and_id(wire.headers, origin, self._sequences[origin])
        # The clocks of two brokers differ.
        jitter_s = self.chance.choice((0, 0, 0, -100, 100))
        at_ms = int((BEGINS + timedelta(seconds=taken_s + jitter_s)).timestamp() * 1000)
        made.record = Record(offset, at_ms, wire.key, wire.value, tuple(headers))
        made.headers = {name: value.decode() for name, value in headers}
        made.ce_id, made.origin = made.headers["ce_id"], origin
        made.sequence = self._sequences[origin]
        self.made.append(made)

    def _callback(self, received_at: datetime, partition: int) -> tuple[bytes, Made]:
        chance = self.chance
        # The clocks of the sender and of the ingress differ.
        sent_at = received_at + timedelta(seconds=chance.choice((-150, -1, 0, 0, 150)))
        time, number, key = int(sent_at.timestamp()), chance.choice((7, 3_000_000_000)), ""
        sequence = chance.randrange(1, 2**32)
        sender, recipient = chance.sample(ACCOUNTS, 2)
        group = chance.choice(GROUPS)
        name = f"{sequence}_{number}_{time}"
        document: dict[str, Any]
        kind = chance.choice(("c2c", "c2c", "id", "group", "recall", "state", "bytes"))
        people, names = {sender, recipient}, {name}
        match kind:
            case "c2c" | "bytes":
                document = {"CallbackCommand": "C2C.CallbackAfterSendMsg", "MsgKey": name}
                document |= {"From_Account": sender, "To_Account": recipient, "MsgTime": time}
            case "id":
                key = f"144115233406643804-{time}-{sequence}"
                document = {"CallbackCommand": "C2C.CallbackAfterSendMsg", "MsgId": key}
                document |= {"From_Account": sender, "To_Account": recipient, "MsgTime": time}
                names = {key}
            case "group":
                document = {"CallbackCommand": "Group.CallbackAfterSendMsg", "MsgSeq": sequence}
                document |= {"Random": number, "MsgTime": str(time), "GroupId": group}
                document |= {"From_Account": sender}
                people = {sender, ""}
            case "recall":
                document = {"CallbackCommand": "C2C.CallbackAfterMsgWithDraw", "MsgKey": name}
                document |= {"From_Account": sender, "To_Account": recipient, "EventTime": time}
            case _:
                document = {"CallbackCommand": "State.StateChange"}
                document |= {"Info": {"Action": "Login", "To_Account": sender}}
                document |= {"EventTime": f"{time}000"}
                people, names = {"", sender}, set()
        document["CloudCustomData"] = chance.choice(("", '{"a":"\\u0031"}', "<b>", '"64":"\\'))
        body = self._body(document, broken=kind == "bytes")
        made = Made(
            names=names,
            people={as_sinks_have(each) for each in people},
            group=group if kind == "group" else "",
            sent_at=sent_at,
            record=Record(0, 0, None, b"", ()),
            partition=partition,
        )
        return body, made

    def _body(self, document: dict[str, Any], *, broken: bool) -> bytes:
        escaped = self.chance.choice((0, 0, 0.2, 1))
        text = written(self.chance, document, escaped)
        text = self.chance.choice(("", "", "", "\ufeff", "\n", " ")) + text
        # Not UTF-8, so it is no JSON: such a record is found by the texts in it.
        return text.encode() + (b"\xff" if broken else b"")

    def _write_segments(self) -> None:
        for number in range(PARTITIONS):
            records = [each.record for each in self.made if each.partition == number]
            for some in self._cut(records):
                batch = Batch(
                    partition=Partition(CALLBACKS.name, number),
                    begins_at=some[0].offset,
                    reached=reached(some),
                    records=some,
                )
                name, content = new_segment.of_batch(batch)
                path = self.directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def _cut(self, records: list[Record]) -> Iterator[list[Record]]:
        some: list[Record] = []
        for record in records:
            if some and (
                record.timestamp_ms // 3_600_000 != some[0].timestamp_ms // 3_600_000
                or self.chance.random() < 0.05
            ):
                yield some
                some = []
            some.append(record)
        yield some
