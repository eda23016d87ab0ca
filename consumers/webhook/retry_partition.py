"""
One partition of a target's retry topic: reading its state, changing it.

Each change is one transaction, and all of it is in the partition: a callback that is parked and the
position after it are there together or not at all.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from consumers.runtime.handler import Stopped
from consumers.runtime.source import CALL_TIMEOUT_S, KafkaUnavailable
from consumers.webhook.retry_record import (
    Change,
    PartitionClaim,
    UnreadableRetryRecord,
    change,
    retry_record,
)
from consumers.webhook.retry_state import RetryState
from schemas.clients import check_cancellation, kafka_failures
from schemas.marker_check import MarkerCheck
from schemas.topics import EXTENDED_RECORD_BYTES_LIMIT

log = logging.getLogger(__name__)

# Shorter than the time for which the broker keeps a transaction.
WRITE_TIMEOUT_S = 8.0
POLL_MS = 200
# So many records of a state are read before other tasks of the process have their turn.
READ_RECORDS_MAX = 1000
# A claim that reads for longer says in the log how far it is.
PROGRESS_S = 5.0
# A transaction adds its last record and one marker.
_MARKER = 1


class OwnershipLost(KafkaUnavailable):
    """The partition may be another member's now, or the last change may be there or not."""


class RetryPartition:
    """One partition of the retry topic, as its owner sees it; see `RetryTopic.claim`."""

    def __init__(
        self,
        partition: TopicPartition,
        producer: AIOKafkaProducer,
        markers: MarkerCheck,
        reader: AIOKafkaConsumer,
    ) -> None:
        self._partition = partition
        self._producer = producer
        self._markers = markers
        self._reader = reader
        self._writing = asyncio.Lock()
        self._last_offset = -1
        self.state = RetryState()
        # True once this object may change nothing more.
        self.is_lost = False
        # Set by each write, and when the partition is lost.
        self.changed = asyncio.Event()

    async def write(self, changes: Sequence[Change]) -> None:
        """
        Append `changes` in one transaction, then apply them to the state.

        Raises:
            OwnershipLost: all changes are in the topic, or none; the partition has to be claimed
                again.
            Stopped: the topic takes no callback of this size; none of them is there.
        """
        async with self._writing:
            self._check_not_lost()
            try:
                with kafka_failures():
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await self._transaction(changes)
            except BaseException as error:
                self._lose()
                if isinstance(error, MessageSizeTooLargeError):
                    raise self._too_small() from error
                if isinstance(error, KafkaError | TimeoutError):
                    raise OwnershipLost(f"{self._name} was not written: {error!r}") from error
                raise
            for each in changes:
                self.state.apply(each)
            self.changed.set()

    def _too_small(self) -> Stopped:
        return Stopped(
            f"{self._name} takes no record as large as a callback that has to wait there. Set "
            f"max.message.bytes={EXTENDED_RECORD_BYTES_LIMIT} for the topic, then start the "
            "process again."
        )

    def _check_not_lost(self) -> None:
        if self.is_lost:
            raise OwnershipLost(f"{self._name} has to be claimed again")

    def _lose(self) -> None:
        self.is_lost = True
        self.changed.set()

    async def _transaction(self, changes: Sequence[Change]) -> None:
        await self._producer.begin_transaction()
        sent = []
        for each in changes:
            key, value, headers = retry_record(each)
            sent.append(
                await self._producer.send(
                    self._partition.topic,
                    value,
                    key=key,
                    partition=self._partition.partition,
                    headers=headers,
                )
            )
        stored = await asyncio.gather(*sent)
        await self._producer.commit_transaction()
        # If its marker was forgotten, the next change must not be the one that ends this one: if it
        # failed, both would be gone. The next claim ends this one.
        await self._markers.check(self._producer.client)
        self._last_offset = max(record.offset for record in stored)

    async def check_owned(self) -> None:
        """
        Check that no other member has claimed the partition, as far as Kafka shows it now.

        A member that was suspended notices it here, before it delivers anything again.

        Raises:
            OwnershipLost: another member has claimed it, or an earlier write of this one failed.
            KafkaUnavailable: Kafka does not answer.
        """
        # Not during a write, which moves the end before it is known here.
        async with self._writing:
            self._check_not_lost()
            try:
                with kafka_failures():
                    async with asyncio.timeout(CALL_TIMEOUT_S / 2):
                        ends = await self._reader.end_offsets([self._partition])
            except (KafkaError, TimeoutError) as error:
                raise KafkaUnavailable(f"{self._name} does not answer: {error!r}") from error
            if ends[self._partition] > self._last_offset + 1 + _MARKER:
                self._lose()
                raise OwnershipLost(f"another member has claimed {self._name}")

    async def read(self, claim: str) -> None:
        """
        Read the state up to `claim`, which this member has written last.

        Raises:
            Stopped: the topic has a record that no webhook wrote.
        """
        self._reader.assign([self._partition])
        await self._reader.seek_to_beginning(self._partition)
        report_at = time.monotonic() + PROGRESS_S
        while True:
            check_cancellation()
            fetched = await self._reader.getmany(
                self._partition, timeout_ms=POLL_MS, max_records=READ_RECORDS_MAX
            )
            for record in fetched.get(self._partition, ()):
                try:
                    stated = change(record.key, record.value, record.headers)
                except UnreadableRetryRecord as unreadable:
                    raise Stopped(
                        f"{self._name} at offset {record.offset}: {unreadable}. Only this "
                        "target's processes and 'hookline dead-letters resend' write the topic. "
                        "Remove what else writes to it, then see 'A webhook stops' in "
                        "docs/runbook.md."
                    ) from unreadable
                self.state.apply(stated)
                if stated == PartitionClaim(claim):
                    self._reader.pause(self._partition)
                    return
            if time.monotonic() >= report_at:
                report_at = time.monotonic() + PROGRESS_S
                at = await self._reader.position(self._partition)
                log.info(
                    "reading what waits in %s: at offset %d of %d, %d callbacks so far",
                    *(self._name, at, self._last_offset, self.state.parked_records),
                )
            # Records that are fetched already are returned without a pause.
            await asyncio.sleep(0)

    @property
    def number(self) -> int:
        """The partition's number, in the main topic as well."""
        return self._partition.partition

    @property
    def _name(self) -> str:
        return f"{self._partition.topic}/{self._partition.partition}"
