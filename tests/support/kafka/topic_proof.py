"""Compare the callbacks that were answered OK with the records that a reader of the topic sees."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord
from support.processes.ingress import until

PARTITIONS = [TopicPartition("tim.callbacks.v1", partition) for partition in range(6)]
Isolation = Literal["read_committed", "read_uncommitted"]
EndOffsets = dict[TopicPartition, int]


class Seen(NamedTuple):
    """A record of the topic."""

    key: str
    origin: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The callbacks that were answered OK, and how often each is in the topic."""

    ok: int
    lost: list[str]
    doubled: list[tuple[str, int]]
    skipped: list[str]
    unanswered: int
    aborted: int

    def __str__(self) -> str:
        """Return the counts as a line of text."""
        return (
            f"{self.ok} OK, {len(self.lost)} lost, {len(self.doubled)} doubled; {self.unanswered} "
            f"more stored without an OK, {self.aborted} copies in transactions that were aborted"
        )

    def assert_holds(self) -> None:
        """Assert that every OK is in the topic, and no number is missing or there twice."""
        assert self.ok
        assert (self.lost[:20], self.doubled[:20], self.skipped) == ([], [], []), str(self)


class Topic:
    """The main topic from certain offsets on."""

    def __init__(self, kafka: str, begin: EndOffsets) -> None:
        self._kafka = kafka
        self._begin = begin

    @classmethod
    async def from_now(cls, kafka: str) -> Self:
        """Return the topic from its present end on."""
        async with _reader(kafka, "read_uncommitted") as reader:
            return cls(kafka, await reader.end_offsets(PARTITIONS))

    async def read(self, isolation: Isolation = "read_committed") -> list[Seen]:
        """Return the present records of the topic, after open transactions have ended."""
        async with _reader(self._kafka, "read_uncommitted") as reader:
            ends = await reader.end_offsets(PARTITIONS)
        seen: list[Seen] = []
        async with _reader(self._kafka, isolation) as reader:
            reader.assign(PARTITIONS)
            for partition, offset in self._begin.items():
                reader.seek(partition, offset)

            async def at_end() -> bool:
                for records in (await reader.getmany(timeout_ms=100)).values():
                    seen.extend(map(_seen, records))
                return all([await reader.position(tp) >= ends[tp] for tp in PARTITIONS])

            await until(at_end, f"a {isolation} reader has reached {ends}")
        return seen

    async def until_has(self, keys: Collection[str]) -> None:
        """Wait until all these callbacks are committed."""

        async def has_all() -> bool:
            return set(keys) <= {seen.key for seen in await self.read()}

        await until(has_all, f"a reader has all {len(keys)} callbacks that were answered OK")

    async def proof(self, ok: Iterable[str]) -> Proof:
        """Compare the OKs with the topic. All of them must have been forwarded."""
        committed = await self.read()
        written = await self.read("read_uncommitted")
        keys = {seen.key for seen in committed}
        places = Counter((seen.origin, seen.sequence) for seen in committed)
        by_key = Counter(seen.key for seen in committed)
        by_origin: dict[str, set[int]] = defaultdict(set)
        for origin, sequence in places:
            by_origin[origin].add(sequence)
        ok = list(ok)
        return Proof(
            ok=len(ok),
            lost=[key for key in ok if key not in keys],
            # No sender here sends a callback twice, so one callback with two sequences is doubled.
            doubled=[place for place, times in places.items() if times > 1]
            + [(key, times) for key, times in by_key.items() if times > 1],
            skipped=[
                f"{origin} has {len(there)} of {max(there)}"
                for origin, there in by_origin.items()
                if len(there) != max(there)
            ],
            unanswered=len(keys - set(ok)),
            aborted=len(written) - len(committed),
        )


@asynccontextmanager
async def open_transaction(kafka: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Yield a function that returns whether a transaction is open in the topic."""
    async with (
        _reader(kafka, "read_uncommitted") as all_records,
        _reader(kafka, "read_committed") as settled_records,
    ):

        async def is_open() -> bool:
            # The order matters: if the end that was read first is above the last stable offset
            # that is read later, a transaction was open in between.
            ends = await all_records.end_offsets(PARTITIONS)
            settled = await settled_records.end_offsets(PARTITIONS)
            return any(settled[partition] < ends[partition] for partition in PARTITIONS)

        yield is_open


@asynccontextmanager
async def _reader(kafka: str, isolation: Isolation) -> AsyncIterator[AIOKafkaConsumer]:
    reader = AIOKafkaConsumer(
        bootstrap_servers=kafka, isolation_level=isolation, enable_auto_commit=False
    )
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


def _seen(record: ConsumerRecord[bytes, bytes]) -> Seen:
    headers = dict(record.headers)
    return Seen(
        key=str(json.loads(record.value or b"")["MsgKey"]),
        origin=headers["ce_origin"].decode(),
        sequence=int(headers["ce_sequence"]),
    )
