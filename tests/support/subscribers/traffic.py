"""Records as several ingresses write them: aborted transactions, repeats, unusual bodies."""

import asyncio
import json
import random
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata
from support.builders import a_body, a_callback

from schemas.clients import started
from schemas.outgoing_record import ID, OutgoingRecord, main_topic_record, with_place_and_id
from schemas.topics import CALLBACKS

BODY_BYTES_MAX = 1 << 20
MESSAGES = ("C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg")
OTHERS = ("State.StateChange", "Group.CallbackAfterNews", "OfficialAccount.CallbackAfterSendMsg")
NEW_HEADERS = [("ce_new", b"1"), ("ce_new", "a second, ü".encode()), ("ce_empty", b"")]
Sent = tuple[OutgoingRecord, asyncio.Future[RecordMetadata]]


class Traffic:
    """Writes to the topic, and knows the messages that a reader of committed records must keep."""

    def __init__(self, one: AIOKafkaProducer, other: AIOKafkaProducer) -> None:
        self._one, self._other = one, other
        self._number = 0
        # The body of the first committed record of each message, and its partition.
        self.kept: dict[str, bytes] = {}
        self.partitions: dict[str, int] = {}
        self._repeatable: dict[str, OutgoingRecord] = {}
        # The offset of the last committed record of each partition.
        self.last_offsets: dict[int, int] = {}

    async def send(self, count: int) -> None:
        """Commit and abort transactions with `count` messages and everything that is unusual."""
        messages = [self._message() for _ in range(count)]
        first, second = messages[::2], messages[1::2]
        # An ingress that is killed leaves an aborted transaction, and sends the callbacks again.
        await self._transaction(self._one, [repeated(message) for message in first], commits=False)
        await self._both(first, [self._message() for _ in first])
        await self._transaction(self._one, second)
        await self._transaction(self._other, [repeated(message) for message in messages[::5]])
        await self._transaction(self._one, [*self._unusual_messages(), *self._other_callbacks()])
        await self._transaction(self._other, [self._message() for _ in second], commits=False)

    async def send_at_once(self, count: int) -> None:
        """Commit one transaction of `count` messages."""
        await self._transaction(self._one, [self._message() for _ in range(count)])

    async def send_again(self, messages: Iterable[str]) -> None:
        """Commit one transaction of those that are not unusual, in other callbacks."""
        again = self._repeatable.keys() & messages
        await self._transaction(self._other, [repeated(self._repeatable[ce_id]) for ce_id in again])

    def kept_of(self, partitions: Iterable[int]) -> set[str]:
        """Return the ce_id of the messages in these partitions."""
        wanted = set(partitions)
        return {ce_id for ce_id, partition in self.partitions.items() if partition in wanted}

    async def _both(self, committed: list[OutgoingRecord], aborted: list[OutgoingRecord]) -> None:
        """Write two transactions at the same time, whose records alternate."""
        await self._one.begin_transaction()
        await self._other.begin_transaction()
        sent = []
        for good, bad in zip(committed, aborted, strict=True):
            await self._write(self._other, bad)
            sent.append(await self._write(self._one, good))
        await self._other.flush()
        await self._other.abort_transaction()
        await self._one.commit_transaction()
        await self._remember(sent)

    async def _transaction(
        self, producer: AIOKafkaProducer, records: Iterable[OutgoingRecord], *, commits: bool = True
    ) -> None:
        await producer.begin_transaction()
        sent = [await self._write(producer, record) for record in records]
        if commits:
            await producer.commit_transaction()
            await self._remember(sent)
        else:
            # Without the flush the records would not be in the topic at all.
            await producer.flush()
            await producer.abort_transaction()

    async def _write(self, producer: AIOKafkaProducer, record: OutgoingRecord) -> Sent:
        self._number += 1
        headers = with_place_and_id(record.headers, "0123456789abcdef", self._number)
        partition = zlib.crc32(record.key or b"") % CALLBACKS.partitions
        return record, await producer.send(
            record.topic, record.value, record.key, partition, headers=headers
        )

    async def _remember(self, sent: list[Sent]) -> None:
        for record, acknowledged in sent:
            place = await acknowledged
            self.last_offsets[place.partition] = place.offset
            headers = dict(record.headers)
            if headers["ce_type"].decode() in MESSAGES:
                self.kept.setdefault(headers[ID].decode(), record.value)
                self.partitions.setdefault(headers[ID].decode(), place.partition)

    def _body(self, text: str = "hello", command: str = "") -> bytes:
        self._number += 1
        return a_body(
            CallbackCommand=command or MESSAGES[self._number % 2],
            From_Account=f"user{self._number % 40}",
            MsgKey=f"key-{self._number}",
            EventTime=1_700_000_000_000 + self._number,
            MsgBody=[{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}],
        )

    def _message(self) -> OutgoingRecord:
        record = main_topic_record(a_callback(self._body()))
        self._repeatable[dict(record.headers)[ID].decode()] = record
        return record

    def _unusual_messages(self) -> list[OutgoingRecord]:
        digits = random.Random(self._number).randbytes(450_000).hex()  # noqa: S311 - no secret
        bodies = [
            b"\xef\xbb\xbf" + self._body("after a byte order mark"),
            self._body("a lone surrogate \ud800"),
            json.dumps(json.loads(self._body("text 你好 😀")), ensure_ascii=False).encode(),
            self._body("x" * 1_000_000),
            self._body(digits),
        ]
        records = [main_topic_record(a_callback(body)) for body in bodies]
        return [record_with(record, NEW_HEADERS) for record in records]

    def _other_callbacks(self) -> list[OutgoingRecord]:
        bodies = [self._body(command=command) for command in OTHERS]
        return [main_topic_record(a_callback(body)) for body in bodies]


def record_with(record: OutgoingRecord, headers: list[tuple[str, bytes]]) -> OutgoingRecord:
    """Return a record with more headers, before and after the ones that it has."""
    all_headers = [*headers, *record.headers, *headers]
    return OutgoingRecord(record.topic, record.key, all_headers, record.value)


def repeated(record: OutgoingRecord) -> OutgoingRecord:
    """Return the record of the same message in another callback: same ce_id, another body."""
    document = json.loads(record.value)
    document["EventTime"] += 1
    again = main_topic_record(a_callback(json.dumps(document).encode()))
    assert dict(again.headers)[ID] == dict(record.headers)[ID]
    assert again.value != record.value
    return again


@asynccontextmanager
async def traffic(bootstrap_servers: str) -> AsyncIterator[Traffic]:
    """Yield traffic of two ingresses."""
    one, other = (
        AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            transactional_id=name,
            compression_type="zstd",
            max_batch_size=1 << 18,
            max_request_size=BODY_BYTES_MAX + 65536,
        )
        for name in ("one", "other")
    )
    async with started(one, 180), started(other, 180):
        yield Traffic(one, other)
