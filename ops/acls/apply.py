"""Make the ACLs in Kafka those that a file wants, and touch none of others."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from ops.acls.entry import AclEntry
from ops.acls.other_pipelines import other_prefixes
from ops.acls.plan import AclPlan, plan_acls
from ops.acls.record import RECORD_TOPIC, AclRecord, Notes, read_notes, recording
from ops.acls.record_topic import ensure_record_topic
from ops.acls.requests import (
    AclsRefused,
    ChangesRefused,
    cluster_id,
    create_acls,
    delete_acls,
    list_acls,
)
from ops.failure import Failure
from ops.records.committed_records import reader_of
from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_outage import KafkaUnreachable, NotAuthorized, outage_text

TIMEOUT_S = 30.0
# A broker learns from the controller what was changed; until then it lists what was before.
VISIBLE_S_MAX = 30.0
VISIBLE_INTERVAL_S = 0.05


class AclsUnfinished(Failure):
    """Kafka did not answer, so some changes may be missing; the command may be run again."""


async def planned_acls(kafka: KafkaAccess, wanted: Collection[AclEntry]) -> AclPlan:
    """
    Return what an apply would do, and change nothing.

    Raises:
        AclsRefused: there is no authorizer, or the command's user may not list ACLs.
        AclsUnfinished: Kafka does not answer.
    """
    async with _client(kafka) as client:
        listed = await list_acls(client)
        topics = await _topics(kafka)
        notes = await read_notes(kafka) if kafka.topic(RECORD_TOPIC) in topics else Notes()
        notes.check_cluster(await cluster_id(client), kafka.topic(RECORD_TOPIC))
        return plan_acls(
            wanted,
            notes.made,
            listed.by_any,
            uncertain=notes.uncertain,
            has_others=bool(other_prefixes(kafka, topics)),
        )


async def apply_acls(
    kafka: KafkaAccess, wanted: Collection[AclEntry], *, allows_deletion: bool, replicas: int
) -> AclPlan:
    """
    Create what is missing of `wanted`, then remove what is not wanted any more, if that is allowed.

    Return what was done. It removes only ACLs that the record has: those that it made.

    Raises:
        AclsRefused: there is no authorizer, or the command's user may not change ACLs.
        AclsUnfinished: Kafka does not answer; to run the command again completes it.
        TakenOver: another command has begun; the same.
    """
    async with _client(kafka) as client:
        # List first: without an authorizer, not even the record is made.
        await list_acls(client)
        await ensure_record_topic(kafka, replicas)
        async with recording(kafka, await cluster_id(client)) as record:
            present = (await list_acls(client)).by_any
            plan = plan_acls(
                wanted,
                record.made,
                present,
                uncertain=record.uncertain,
                has_others=bool(other_prefixes(kafka, await _topics(kafka))),
            )
            await _create(client, record, plan.added)
            # A service may need the new ACLs to go on without the old ones.
            await _until_listed(client, record, wanted)
            deleted = plan.unwanted if allows_deletion else []
            await _delete(client, record, deleted)
            await _until_listed(client, record, wanted, without=deleted)
            await record.finish(deleted=deleted, gone=plan.gone)
    return plan


async def _topics(kafka: KafkaAccess) -> set[str]:
    async with reader_of(kafka) as reader:
        topics: set[str] = await reader.topics()
    return topics


async def _create(client: AIOKafkaClient, record: AclRecord, entries: list[AclEntry]) -> None:
    await record.note_changing(entries)
    try:
        await create_acls(client, entries)
    except ChangesRefused as error:
        await record.note_made(error.done)
        await record.forget(error.untouched)
        raise
    await record.note_made(entries)


async def _delete(client: AIOKafkaClient, record: AclRecord, entries: list[AclEntry]) -> None:
    # The note also checks, directly before the deletion, that no other command has begun.
    await record.note_changing(entries)
    try:
        await delete_acls(client, entries)
    except ChangesRefused as error:
        await record.note_made(error.untouched)
        raise


@asynccontextmanager
async def _client(kafka: KafkaAccess) -> AsyncIterator[AIOKafkaClient]:
    try:
        async with started(AIOKafkaClient(**kafka.options()), TIMEOUT_S, kafka) as client:
            yield client
    except NotAuthorized as error:
        raise AclsRefused(
            f"the user of this command may not use {kafka.topic(RECORD_TOPIC)}, the topic with the"
            " record of the ACLs that were made: run it as one of the brokers' super.users"
            f" ({error})"
        ) from error
    except KafkaUnreachable as error:
        raise AclsUnfinished(str(error)) from error
    except (KafkaError, TimeoutError) as error:
        raise AclsUnfinished(
            f"{outage_text(kafka, error)}; run the command again to complete it"
        ) from error


async def _until_listed(
    client: AIOKafkaClient,
    record: AclRecord,
    wanted: Collection[AclEntry],
    *,
    without: Collection[AclEntry] = (),
) -> None:
    deadline = time.monotonic() + VISIBLE_S_MAX
    while True:
        check_cancellation()
        listed = await list_acls(client)
        if listed.by_all.issuperset(wanted) and listed.by_any.isdisjoint(without):
            return
        if time.monotonic() > deadline:
            # Another command may have undone the change.
            await record.claim_again()
            raise TimeoutError(f"not all brokers list the change within {VISIBLE_S_MAX:g} s")
        await asyncio.sleep(VISIBLE_INTERVAL_S)
