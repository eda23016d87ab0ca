"""
The record of the ACLs that the command has made: a compacted topic, with a key for each of them.

An entry is noted as one that changes before it is created or deleted, as made once Kafka has
acknowledged its creation, and is forgotten after it was deleted. So at any kill the record has all
that was made, and no entry counts as made that may be of others. The transactional id is fixed: the
start of a command fences one that runs, and each note fails if that has happened
(docs/decisions/0044-acls.md).
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import ConsumerRecord

from ops.acls.entry import AclEntry, decoded, encoded
from ops.failure import Failure
from ops.records.committed_records import partitions_of, reader_of
from ops.records.up_to_ends import fetches_up_to
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName

RECORD_TOPIC = "hookline.acls.v1"
RECORD_CONFIGS = {"cleanup.policy": "compact"}
TRANSACTIONAL_ID = "hookline-acls"
TIMEOUT_S = 30.0
_MADE = b"made"
# A command is about to create or to delete it; if the command was ended there, it is not known
# whose an ACL with these parts is.
_CHANGING = b"changing"
# The id of the cluster whose ACLs these are: tools copy topics from one cluster to another.
_CLUSTER = b"cluster "
# A command writes a claim before it reads, and removes it at its end. Its transaction ends what an
# earlier one left open, and a reader who has seen the claim has seen all earlier records.
_CLAIM, _BEGUN = b"claim ", b"begun"


class TakenOver(Failure):
    """Another command changes the ACLs; this one has ended."""


class NotARecord(Failure):
    """The topic has a record that the command did not write for this cluster."""


@dataclass(frozen=True, slots=True)
class Notes:
    """
    The record's content: the ACLs that were made, and the claims of commands without an end.

    A command was ended while it created or deleted those of `uncertain`.
    """

    made: set[AclEntry] = field(default_factory=set)
    uncertain: set[AclEntry] = field(default_factory=set)
    claims: set[bytes] = field(default_factory=set)
    clusters: set[str] = field(default_factory=set)

    def check_cluster(self, cluster: str, topic: KafkaName) -> None:
        """
        Return if the notes, which are in `topic`, are about the ACLs of `cluster`.

        Raises:
            NotARecord: they are a copy from another one.
        """
        if others := sorted(self.clusters - {cluster}):
            raise NotARecord(
                f"{topic} has the notes of the cluster {others[0]}, and this is the cluster"
                f" {cluster}; no ACL was changed. Do not copy that topic between clusters, and"
                " delete it in this one: ACLs that exist then are not removed by hookline any more"
            )


class AclRecord:
    """Use `recording`. Each method raises TakenOver if another command has begun."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: KafkaName, notes: Notes, claim: bytes
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._notes = notes
        self._claim = claim
        # A command that was killed, or that this one has fenced, may still have a request under
        # way that creates what it has noted.
        self.has_unfinished = notes.claims != {claim}

    @property
    def made(self) -> frozenset[AclEntry]:
        """The entries that were made by a command."""
        return frozenset(self._notes.made)

    @property
    def uncertain(self) -> frozenset[AclEntry]:
        """The entries of which it is not known whether a command made them."""
        return frozenset(self._notes.uncertain)

    async def claim_again(self) -> None:
        """
        Write the claim of this command again; return if no other command has begun.

        Raises:
            TakenOver: another command has begun.
            KafkaError, TimeoutError: that is not known.
        """
        await _write(self._producer, self._topic, {self._claim: _BEGUN})

    async def note_changing(self, entries: Iterable[AclEntry]) -> None:
        """
        Return once Kafka has the note that this command is about to create or delete `entries`.

        Raises:
            TakenOver: another command has begun; nothing was noted.
            KafkaError, TimeoutError: they may or may not have been noted.
        """
        await _write(self._producer, self._topic, {encoded(entry): _CHANGING for entry in entries})

    async def note_made(self, entries: Iterable[AclEntry]) -> None:
        """
        Return once Kafka has the note that a command has made `entries`.

        Raises:
            TakenOver: another command has begun; nothing was noted.
            KafkaError, TimeoutError: they may or may not have been noted.
        """
        await _write(self._producer, self._topic, {encoded(entry): _MADE for entry in entries})

    async def forget(self, entries: Iterable[AclEntry]) -> None:
        """
        Return once Kafka has the note that no command has made `entries`, which do not exist.

        They are uncertain instead if an unfinished command may still create them.

        Raises:
            TakenOver: another command has begun; nothing was noted.
            KafkaError, TimeoutError: it may or may not have been noted.
        """
        value = _CHANGING if self.has_unfinished else None
        await _write(self._producer, self._topic, dict.fromkeys(map(encoded, entries), value))

    async def finish(self, *, deleted: Iterable[AclEntry], gone: Iterable[AclEntry]) -> None:
        """
        Return once Kafka has the note that this command has ended, and that these ACLs are gone.

        `deleted` were deleted by this command, `gone` were not there when it began; see `forget`.

        Raises:
            TakenOver: another command has begun; nothing was noted.
            KafkaError, TimeoutError: it may or may not have been noted.
        """
        await self.forget(gone)
        ended = [*map(encoded, deleted), *self._notes.claims]
        await _write(self._producer, self._topic, dict.fromkeys(ended))


@contextlib.asynccontextmanager
async def recording(kafka: KafkaAccess, cluster: str) -> AsyncIterator[AclRecord]:
    """
    Yield the record of `cluster`, and end every other command that has it.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer, or the topic does not exist.
        NotARecord: the topic has records that the command did not write for this cluster.
        TakenOver: another command has begun, and so has removed the claim.
    """
    transactional_id = kafka.transactional_id(TRANSACTIONAL_ID)
    producer = AIOKafkaProducer(
        **kafka.options(), transactional_id=transactional_id, request_timeout_ms=5000
    )
    topic = kafka.topic(RECORD_TOPIC)
    claim = _CLAIM + secrets.token_hex(16).encode()
    async with started(producer, TIMEOUT_S, kafka):
        await _write(producer, topic, {claim: _BEGUN, _CLUSTER + cluster.encode(): b""})
        async with asyncio.timeout(TIMEOUT_S):
            # Kafka answers the end of a transaction before its records can be read.
            while claim not in (notes := await read_notes(kafka)).claims:
                await _write(producer, topic, {claim: _BEGUN})
        notes.check_cluster(cluster, topic)
        yield AclRecord(producer, topic, notes, claim)


async def read_notes(kafka: KafkaAccess) -> Notes:
    """
    Return what the record has.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
        NotARecord: the topic has records that the command did not write.
    """
    notes = Notes()
    async with reader_of(kafka, RECORD_TOPIC) as client:
        ends = await client.end_offsets(partitions_of(client, [kafka.topic(RECORD_TOPIC)]))
        positions = await client.beginning_offsets(list(ends))
        async with contextlib.aclosing(fetches_up_to(client, positions, ends)) as fetches:
            async for _, records in fetches:
                for record in records:
                    _apply(record, notes)
    return notes


def _apply(record: ConsumerRecord[bytes, bytes], notes: Notes) -> None:
    key = record.key or b""
    if key.startswith(_CLAIM):
        _set(notes.claims, key, record)
    elif key.startswith(_CLUSTER):
        _set(notes.clusters, key.removeprefix(_CLUSTER).decode(errors="replace"), record)
    else:
        _apply_entry(key, record, notes)


def _set(values: set[Any], key: object, record: ConsumerRecord[bytes, bytes]) -> None:
    (set.discard if record.value is None else set.add)(values, key)


def _apply_entry(key: bytes, record: ConsumerRecord[bytes, bytes], notes: Notes) -> None:
    try:
        entry = decoded(key)
        kind = {_MADE: notes.made, _CHANGING: notes.uncertain, None: None}[record.value]
    except (ValueError, KeyError):
        raise NotARecord(
            f"{record.topic} has a record at offset {record.offset} that hookline did not write, so"
            " it is not known which ACLs are its own; no ACL was changed"
        ) from None
    notes.made.discard(entry)
    notes.uncertain.discard(entry)
    if kind is not None:
        kind.add(entry)


async def _write(
    producer: AIOKafkaProducer, topic: KafkaName, values: Mapping[bytes, bytes | None]
) -> None:
    if not values:
        return
    try:
        async with producer.transaction():
            sent = [await producer.send(topic, value, key=key) for key, value in values.items()]
            await asyncio.gather(*sent)
    except ProducerFenced as error:
        raise TakenOver(
            "another `hookline topics apply` has begun to change the ACLs, and has ended this one;"
            " run it again when the other has ended"
        ) from error
