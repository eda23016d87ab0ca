"""The record of the ACLs that were made claims none that may be of others."""

import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.structs import BrokerMetadata
from support.acls.clients import (
    add_foreign,
    admin,
    apply_table,
    listed,
    record_of,
    remove,
    subscribing,
)
from support.acls.principals import access_of
from support.kafka.access import plaintext
from support.kafka.secured import SecuredBroker

from ops.acls import apply, record, requests
from ops.acls.apply import apply_acls, planned_acls
from ops.acls.entry import AclEntry, Operation, ResourceType
from ops.acls.record import RECORD_TOPIC, TRANSACTIONAL_ID, NotARecord, Notes, TakenOver
from ops.acls.requests import AclsRefused, ChangesRefused, list_acls
from ops.acls.table import AclTable
from ops.demo.embedded import child
from schemas.clients import started
from schemas.kafka_access import KafkaAccess


@pytest.fixture
def user() -> str:
    """Return a user that no other test has."""
    return f"u{secrets.token_hex(4)}"


@pytest.fixture
async def limited(secured_broker: SecuredBroker, user: str) -> KafkaAccess:
    """Return the access of a user that may list ACLs and use the record, and change no ACL."""
    await apply_table(secured_broker, AclTable())
    await secured_broker.allow("Describe", "Cluster", "kafka-cluster", user=user)
    await secured_broker.allow("All", "Topic", RECORD_TOPIC, user=user)
    await secured_broker.allow("All", "TransactionalId", TRANSACTIONAL_ID, user=user)
    return access_of(secured_broker, user)


async def changed(kafka: KafkaAccess, wanted: Collection[AclEntry]) -> None:
    """Apply with deletion."""
    await apply_acls(kafka, wanted, allows_deletion=True, replicas=1)


async def test_a_refused_creation_claims_nothing(
    secured_broker: SecuredBroker, user: str, limited: KafkaAccess
) -> None:
    """A person then creates the same ACLs: these are that person's."""
    ours = subscribing(f"{user}-x").entries(plaintext(""))
    with pytest.raises(ChangesRefused, match=r"may not create ACLs: .*; refused: ACL User:\S+ may"):
        await changed(limited, ours)
    await add_foreign(secured_broker, ours)
    plan = await apply_table(secured_broker, AclTable())
    assert ours <= set(plan.foreign)
    assert ours <= await listed(secured_broker)
    await remove(secured_broker, ours)


async def test_a_command_reads_until_it_has_seen_its_claim(
    secured_broker: SecuredBroker, user: str, limited: KafkaAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the claim would count as that of another command, which has not ended."""
    ours = subscribing(f"{user}-x").entries(plaintext(""))
    read_notes, reads = record.read_notes, 0

    async def read_too_early(kafka: KafkaAccess) -> Notes:
        nonlocal reads
        reads += 1
        notes = await read_notes(kafka)
        if reads == 1:
            notes.claims.clear()
        return notes

    with monkeypatch.context() as early:
        early.setattr(record, "read_notes", read_too_early)
        with pytest.raises(ChangesRefused):
            await changed(limited, ours)
    assert reads > 1
    await add_foreign(secured_broker, ours)
    assert ours <= set((await apply_table(secured_broker, AclTable())).foreign)
    await remove(secured_broker, ours)


async def test_a_refused_deletion_is_done_by_another_user(
    secured_broker: SecuredBroker, user: str, limited: KafkaAccess
) -> None:
    """The ACLs stay those of the command."""
    ours = subscribing(f"{user}-x").entries(plaintext(""))
    await apply_table(secured_broker, subscribing(f"{user}-x"))
    with pytest.raises(ChangesRefused, match=r"may not delete ACLs: .*; deleted: none"):
        await changed(limited, set())
    await apply_table(secured_broker, AclTable())
    assert not ours & await listed(secured_broker)


async def test_after_a_refusal_in_part_the_created_ones_are_named_and_ours(
    secured_broker: SecuredBroker, user: str
) -> None:
    """The impossible one is named, too."""
    ours = subscribing(user).entries(plaintext(""))
    impossible = AclEntry(ResourceType.CLUSTER, "other", 3, f"User:{user}", "*", Operation.ALTER, 3)
    with pytest.raises(
        ChangesRefused,
        match=rf"refused: ACL User:{user} may alter cluster other; created: ACL User:{user} may",
    ):
        await changed(access_of(secured_broker), ours | {impossible})
    await apply_table(secured_broker, AclTable())
    assert not ours & await listed(secured_broker)


class Killed(Exception):
    """Stands for a kill of the command."""


async def test_what_others_create_after_an_interrupted_deletion_stays(
    secured_broker: SecuredBroker, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported until it is gone, and the record forgets it then."""
    broker, ours = secured_broker, subscribing(user).entries(plaintext(""))
    await apply_table(broker, subscribing(user))
    original = requests.delete_acls

    async def killed(*arguments: Any) -> None:
        await original(*arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(apply, "delete_acls", killed)
        with pytest.raises(Killed):
            await apply_table(broker, AclTable())
    await add_foreign(broker, ours)
    assert set((await planned_acls(access_of(broker), set())).uncertain) == ours
    assert set((await apply_table(broker, AclTable())).uncertain) == ours
    assert ours <= await listed(broker)
    await remove(broker, ours)
    await apply_table(broker, AclTable())
    await add_foreign(broker, ours)
    assert ours <= set((await apply_table(broker, AclTable())).foreign)
    await remove(broker, ours)


async def test_what_others_removed_and_made_again_stays(
    secured_broker: SecuredBroker, user: str
) -> None:
    """Also if an unfinished command was there when it was gone."""
    broker, ours = secured_broker, subscribing(user).entries(plaintext(""))
    await apply_table(broker, subscribing(user))
    await remove(broker, ours)
    async with record_of(broker):
        pass
    await apply_table(broker, AclTable())
    await add_foreign(broker, ours)
    await apply_table(broker, AclTable())
    assert ours <= await listed(broker)
    await remove(broker, ours)


async def test_a_command_that_another_has_ended_deletes_nothing(
    secured_broker: SecuredBroker, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it had nothing to create."""
    broker, ours = secured_broker, subscribing(user).entries(plaintext(""))
    await apply_table(broker, subscribing(user))
    original = apply._until_listed  # noqa: SLF001

    async def overtaken(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(apply, "_until_listed", original)
        await apply_table(broker, subscribing(user))
        await original(*arguments, **named)

    monkeypatch.setattr(apply, "_until_listed", overtaken)
    with pytest.raises(TakenOver):
        await apply_table(broker, AclTable())
    assert ours <= await listed(broker)


async def test_a_command_that_waits_for_what_another_has_undone_names_the_other(
    secured_broker: SecuredBroker, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not blame the brokers."""
    async with record_of(secured_broker) as first, admin(secured_broker) as client:
        await apply_table(secured_broker, AclTable())
        monkeypatch.setattr(apply, "VISIBLE_S_MAX", 0)
        with pytest.raises(TakenOver):
            await apply._until_listed(client, first, subscribing(user).entries(plaintext("")))  # noqa: SLF001


async def test_each_broker_is_asked(secured_broker: SecuredBroker) -> None:
    """One that does not answer fails the command, because it may know other ACLs."""
    async with admin(secured_broker) as client:
        (broker,) = client.cluster.brokers()
        client.cluster._brokers[99] = BrokerMetadata(99, "127.0.0.1", child.free_port(), None)  # noqa: SLF001
        with pytest.raises(KafkaError):
            await list_acls(client)
        del client.cluster._brokers[99]  # noqa: SLF001
        assert broker.nodeId != 99
        answered = await list_acls(client)
        assert answered.by_any == answered.by_all


async def test_the_lists_of_all_brokers_count(
    secured_broker: SecuredBroker, user: str, tmp_path: Path
) -> None:
    """An ACL that one of two brokers lists is there, but not everywhere."""
    ours = subscribing(user).entries(plaintext(""))
    with child.running(SecuredBroker(tmp_path)) as other:
        await add_foreign(secured_broker, ours)
        async with admin(secured_broker) as client:
            host, port = other.address.split(":")
            client.cluster._brokers[99] = BrokerMetadata(99, host, int(port), None)  # noqa: SLF001
            answered = await list_acls(client)
    assert ours <= answered.by_any
    assert not ours & answered.by_all
    await remove(secured_broker, ours)


async def test_a_record_that_kafka_would_delete_is_refused(secured_broker: SecuredBroker) -> None:
    """The error names the configuration."""
    await apply_table(secured_broker, AclTable())

    async def set_policy(policy: str) -> None:
        configs = {"cleanup.policy": policy}
        async with started(AIOKafkaAdminClient(**access_of(secured_broker).options()), 180) as one:
            await one.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, RECORD_TOPIC, configs)]
            )

    await set_policy("delete")
    try:
        with pytest.raises(AclsRefused, match=r"has cleanup\.policy=delete, so Kafka would delete"):
            await apply_table(secured_broker, AclTable())
    finally:
        await set_policy("compact")
    await apply_table(secured_broker, AclTable())


async def test_notes_of_another_cluster_are_refused(secured_broker: SecuredBroker) -> None:
    """A tool copies topics from one cluster to another."""
    kafka = access_of(secured_broker)
    await apply_table(secured_broker, AclTable())
    async with started(AIOKafkaProducer(**kafka.options()), 180) as producer:
        await producer.send_and_wait(RECORD_TOPIC, b"", key=b"cluster of-another")
        try:
            for work in (changed(kafka, set()), planned_acls(kafka, set())):
                with pytest.raises(
                    NotARecord, match="has the notes of the cluster of-another, and"
                ):
                    await work
        finally:
            await producer.send_and_wait(RECORD_TOPIC, None, key=b"cluster of-another")
    await apply_table(secured_broker, AclTable())
