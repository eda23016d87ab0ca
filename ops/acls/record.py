"""
The record of the ACLs that the command has made: a compacted topic, with a key for each of them.

An entry is noted before it is created, and forgotten after it was deleted, so at any kill the
record has all that was made. The transactional id is fixed: the start of a command fences one that
runs, and the new one has everything that the former has noted (docs/decisions/0044-acls.md).
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import ConsumerRecord

from ops.acls.entry import AclEntry, decoded, encoded
from ops.failure import Failure
from ops.records.committed_records import reader_of
from ops.records.up_to_ends import records_up_to
from schemas.clients import started
from schemas.kafka_access import KafkaAccess

RECORD_TOPIC = "hookline.acls.v1"
RECORD_CONFIGS = {"cleanup.policy": "compact"}
TRANSACTIONAL_ID = "hookline-acls"
TIMEOUT_S = 30.0
_MADE = b"made"
# A command writes a claim before it reads, and removes it at its end. Its transaction ends what an
# earlier one left open, and a reader who has seen the claim has seen all earlier records.
_CLAIM = b"claim "


class TakenOver(Failure):
    """Another command changes the ACLs; this one has ended."""


class NotARecord(Failure):
    """The topic has a record that the command did not write."""


@dataclass(frozen=True, slots=True)
class Notes:
    """The record's content: the ACLs that were made, and the claims of commands without an end."""

    made: set[AclEntry] = field(default_factory=set)
    claims: set[bytes] = field(default_factory=set)


class AclRecord:
    """Use `recording`."""

    def __init__(self, producer: AIOKafkaProducer, notes: Notes, claim: bytes) -> None:
        self._producer = producer
        self._notes = notes
        # A command that was killed, or that this one has fenced, may still have a request under
        # way that creates what it has noted.
        self.has_unfinished = notes.claims != {claim}

    @property
    def made(self) -> frozenset[AclEntry]:
        """The entries that were noted as made by a command."""
        return frozenset(self._notes.made)

    async def note(self, entries: Iterable[AclEntry]) -> None:
        """
        Return once Kafka has the note that `entries` are made by this command.

        Raises:
            TakenOver: another command has begun; nothing was noted.
            KafkaError, TimeoutError: they may or may not have been noted.
        """
        new = set(entries) - self.made
        if new:
            await _write(self._producer, {encoded(entry): _MADE for entry in new})
        self._notes.made.update(new)

    async def finish(self, *, deleted: Iterable[AclEntry], gone: Iterable[AclEntry]) -> None:
        """
        Return once Kafka has the note that this command has ended, and that these ACLs are gone.

        `deleted` were deleted by this command, `gone` were not there when it began. The latter are
        kept noted if an unfinished command may still create them.

        Raises:
            TakenOver: another command has begun; nothing was noted.
            KafkaError, TimeoutError: it may or may not have been noted.
        """
        forgotten = {*deleted, *(() if self.has_unfinished else gone)}
        keys = [*map(encoded, forgotten), *self._notes.claims]
        await _write(self._producer, dict.fromkeys(keys))


@contextlib.asynccontextmanager
async def recording(kafka: KafkaAccess) -> AsyncIterator[AclRecord]:
    """
    Yield the record, and end every other command that has it.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer, or the topic does not exist.
        NotARecord: the topic has records that the command did not write.
    """
    producer = AIOKafkaProducer(
        **kafka.options(), transactional_id=TRANSACTIONAL_ID, request_timeout_ms=5000
    )
    claim = _CLAIM + secrets.token_hex(16).encode()
    async with started(producer, TIMEOUT_S, kafka):
        await _write(producer, {claim: b"begun"})
        yield AclRecord(producer, await read_notes(kafka), claim)


async def read_notes(kafka: KafkaAccess) -> Notes:
    """
    Return what the record has.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
        NotARecord: the topic has records that the command did not write.
    """
    notes = Notes()
    async with reader_of(kafka, RECORD_TOPIC) as client:
        ends = await client.end_offsets(sorted(client.assignment()))
        positions = await client.beginning_offsets(list(ends))
        async with contextlib.aclosing(records_up_to(client, positions, ends)) as fetches:
            async for _, records in fetches:
                for record in records:
                    _apply(record, notes)
    return notes


def _apply(record: ConsumerRecord[bytes, bytes], notes: Notes) -> None:
    key = record.key or b""
    change = set.discard if record.value is None else set.add
    if key.startswith(_CLAIM):
        change(notes.claims, key)
        return
    try:
        change(notes.made, decoded(key))
    except ValueError:
        raise NotARecord(
            f"{RECORD_TOPIC} has a record at offset {record.offset} that hookline did not write, so"
            " it is not known which ACLs are its own; no ACL was changed"
        ) from None


async def _write(producer: AIOKafkaProducer, values: Mapping[bytes, bytes | None]) -> None:
    try:
        async with producer.transaction():
            sent = [
                await producer.send(RECORD_TOPIC, value, key=key) for key, value in values.items()
            ]
            await asyncio.gather(*sent)
    except ProducerFenced as error:
        raise TakenOver(
            "another `hookline topics apply` has begun to change the ACLs, and has ended this one;"
            " run it again when the other has ended"
        ) from error
