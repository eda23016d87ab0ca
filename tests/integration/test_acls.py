"""ACLs as a file, on a broker that checks them."""

import asyncio
import contextlib
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.admin import DeleteGroupsRequest
from support.acls.foreign_states import foreign_state
from support.acls.principals import access_of, env_of, hookline
from support.docs_blocks import the_block
from support.kafka.secured import ADMIN, SecuredBroker

from ingress.forward.cursor import cursor_group
from ops.acls import apply
from ops.acls.apply import AclsUnfinished, apply_acls, planned_acls
from ops.acls.entry import AclEntry
from ops.acls.record import TRANSACTIONAL_ID, TakenOver, read_notes, recording
from ops.acls.requests import AclsRefused, create_acls, delete_acls, list_acls
from ops.acls.rights import CONSUMER_GROUPS
from ops.acls.table import AclTable, Subscriber
from ops.dead_letters.to_topic import TRANSACTIONAL_ID as DEAD_LETTERS_ID
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS

ORIGIN = "0123456789abcdef"
OUR_GROUPS = (*CONSUMER_GROUPS, "webhook-crm", cursor_group(ORIGIN), DEAD_LETTERS_ID)
OUR_IDS = (ORIGIN, "hookline-webhook-crm-0", DEAD_LETTERS_ID, TRANSACTIONAL_ID)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """Yield a broker of this file's own: ACLs that deny would disturb the tests of others."""
    with child.running(SecuredBroker(tmp_path_factory.mktemp("acls"))) as broker:
        asyncio.run(apply_topics(access_of(broker), body_bytes_max=1 << 20, replicas=1))
        yield broker


@pytest.fixture
def user() -> str:
    """Return a user that no other test has."""
    return f"u{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def admin(broker: SecuredBroker) -> AsyncIterator[AIOKafkaClient]:
    """Yield a client with every right."""
    async with started(AIOKafkaClient(**access_of(broker).options()), 180) as client:
        yield client


async def listed(broker: SecuredBroker) -> set[AclEntry]:
    """Return all ACLs."""
    async with admin(broker) as client:
        return await list_acls(client)


async def add_foreign(broker: SecuredBroker, entries: set[AclEntry]) -> None:
    """Create ACLs as others do, and return when the broker lists them."""
    async with admin(broker) as client:
        await create_acls(client, entries)
        while not entries <= await list_acls(client):  # noqa: ASYNC110 - the broker says it
            await asyncio.sleep(0.02)


async def apply_table(
    broker: SecuredBroker, table: AclTable, *, allows_deletion: bool = True
) -> Any:
    """Apply a table as the user with every right."""
    return await apply_acls(
        access_of(broker), table.entries(), allows_deletion=allows_deletion, replicas=1
    )


def subscribing(user: str) -> AclTable:
    """Return a table with one subscriber."""
    return AclTable(subscribers=[Subscriber(f"User:{user}", [CALLBACKS.name], f"{user}-")])


async def send(kafka: KafkaAccess, topic: str, **options: Any) -> None:
    """Send a record."""
    async with started(AIOKafkaProducer(**kafka.options(), **options), 180) as producer:
        if "transactional_id" in options:
            async with producer.transaction():
                await producer.send_and_wait(topic, b"{}")
        else:
            await producer.send_and_wait(topic, b"{}")


async def receive(kafka: KafkaAccess, topic: str, group: str | None) -> int:
    """Read a record, commit its offset if there is a group, and return the offset."""
    reader = AIOKafkaConsumer(
        topic,
        **kafka.options(),
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    async with started(reader, 180):
        offset: int = (await reader.getone()).offset
        if group is not None:
            await reader.commit()
    return offset


async def commit(kafka: KafkaAccess, group: str) -> None:
    """Commit an offset of `group`, without joining it."""
    client = AIOKafkaConsumer(**kafka.options(), group_id=group, enable_auto_commit=False)
    async with started(client, 180):
        partition = TopicPartition(CALLBACKS.name, 0)
        client.assign([partition])
        await client.commit({partition: 0})


async def delete_group(kafka: KafkaAccess, group: str) -> None:
    """Delete `group`, or raise why that is refused."""
    async with started(AIOKafkaClient(**kafka.options()), 180) as client:
        node = client.get_random_node()
        assert node is not None
        response: Any = await client.send(node, DeleteGroupsRequest([group]))
    ((_, code),) = response.results
    if code:
        raise for_code(code)(group)


async def test_a_foreign_principal_neither_reads_nor_writes(
    broker: SecuredBroker, user: str
) -> None:
    """The same requests succeed for principals that the table names."""
    table = AclTable(services={"ingress": ["User:writer"], "archive": ["User:archive"]})
    await apply_table(broker, table)
    foreign, writer = access_of(broker, user), access_of(broker, "writer")
    await send(writer, CALLBACKS.name, transactional_id=ORIGIN)
    await send(writer, DEAD_LETTERS.name, enable_idempotence=True)
    assert await receive(access_of(broker, "archive"), CALLBACKS.name, "archive") == 0
    for topic in (CALLBACKS.name, DEAD_LETTERS.name, ACTIONS.name):
        with pytest.raises(TopicAuthorizationFailedError):
            await send(foreign, topic)
        with pytest.raises(TopicAuthorizationFailedError):
            await receive(foreign, topic, None)
    for group in OUR_GROUPS:
        with pytest.raises(GroupAuthorizationFailedError):
            await commit(foreign, group)
    # A service has only its own rights.
    with pytest.raises(TopicAuthorizationFailedError):
        await send(access_of(broker, "archive"), CALLBACKS.name)
    with pytest.raises(GroupAuthorizationFailedError):
        await commit(access_of(broker, "archive"), "sync")


async def test_a_subscriber_only_reads_in_its_own_groups(broker: SecuredBroker, user: str) -> None:
    """It neither writes, nor touches our groups and transactional ids."""
    await apply_table(broker, subscribing(user))
    await send(access_of(broker), CALLBACKS.name)
    subscriber = access_of(broker, user)
    assert await receive(subscriber, CALLBACKS.name, f"{user}-reports") == 0
    for topic in (CALLBACKS.name, DEAD_LETTERS.name, ACTIONS.name):
        with pytest.raises(TopicAuthorizationFailedError):
            await send(subscriber, topic)
    with pytest.raises(TopicAuthorizationFailedError):
        await receive(subscriber, DEAD_LETTERS.name, f"{user}-reports")
    for group in OUR_GROUPS:
        with pytest.raises(GroupAuthorizationFailedError):
            await receive(subscriber, CALLBACKS.name, group)
        with pytest.raises(GroupAuthorizationFailedError):
            await commit(subscriber, group)
        with pytest.raises(GroupAuthorizationFailedError):
            await delete_group(subscriber, group)
    for transactional_id in OUR_IDS:
        with pytest.raises(TransactionalIdAuthorizationFailed):
            await send(subscriber, CALLBACKS.name, transactional_id=transactional_id)


async def test_no_acl_of_others_is_touched(
    broker: SecuredBroker,
    user: str,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """Tables change, ACLs of others come: each apply removes only ours."""
    states = scaled(20, at_most=200)
    before = await listed(broker)
    foreign = before - (await read_notes(access_of(broker))).made
    removed = 0
    for seed in range(states):
        table = (
            subscribing(user),
            AclTable(services={"archive": [f"User:{user}"]}),
            AclTable(webhooks={"crm": [f"User:{user}"]}),
        )[seed % 3]
        wanted = table.entries()
        # Not those that an earlier apply has made: they are ours.
        new = foreign_state(seed, wanted) - await listed(broker)
        await add_foreign(broker, new)
        foreign |= new
        plan = await apply_table(broker, table)
        assert foreign <= (left := await listed(broker))
        assert left == foreign | wanted
        removed += len(plan.unwanted)
    await apply_table(broker, AclTable())
    assert await listed(broker) == foreign
    async with admin(broker) as client:
        await delete_acls(client, foreign)
    say(f"{states} states: {len(foreign)} ACLs of others untouched, {removed} of ours removed")


async def test_what_was_there_before_stays_when_the_table_drops_it(
    broker: SecuredBroker, user: str
) -> None:
    """Only ACLs that an apply has made are removed, and only if that is allowed."""
    ours = sorted(subscribing(user).entries())
    await add_foreign(broker, set(ours[:1]))
    await apply_table(broker, subscribing(user))
    plan = await apply_table(broker, AclTable(), allows_deletion=False)
    assert plan.unwanted == ours[1:]
    assert set(ours) <= await listed(broker)
    assert (await planned_acls(access_of(broker), set())).unwanted == ours[1:]
    await apply_table(broker, AclTable())
    assert set(ours) & await listed(broker) == set(ours[:1])


class Killed(Exception):
    """Stands for a kill of the command."""


@pytest.mark.parametrize("call", ["create_acls", "delete_acls", "_until_listed"])
@pytest.mark.parametrize("is_done", [False, True])
async def test_after_a_kill_the_next_apply_completes_it(
    broker: SecuredBroker, user: str, monkeypatch: pytest.MonkeyPatch, call: str, *, is_done: bool
) -> None:
    """Nothing is left of the killed one that a later table does not want."""
    await apply_table(broker, subscribing(f"{user}-old"))
    others = foreign_state(1, subscribing(user).entries()) - await listed(broker)
    await add_foreign(broker, others)
    original = getattr(apply, call)

    async def killed(*arguments: Any) -> None:
        if is_done:
            await original(*arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(apply, call, killed)
        with pytest.raises(Killed):
            await apply_table(broker, subscribing(user))
    await apply_table(broker, subscribing(f"{user}-new"))
    left = await listed(broker)
    assert others <= left
    of_user = {entry for entry in left - others if entry.principal.startswith(f"User:{user}")}
    assert of_user == subscribing(f"{user}-new").entries()
    async with admin(broker) as client:
        await delete_acls(client, others)


async def test_a_second_apply_ends_the_first_and_knows_what_it_makes(
    broker: SecuredBroker, user: str
) -> None:
    """Also an ACL whose creation is still under way when the second one begins."""
    ours = subscribing(user).entries()
    async with recording(access_of(broker)) as first:
        await first.note(ours)
        await apply_table(broker, AclTable())
        async with admin(broker) as client:
            await create_acls(client, ours)
        with pytest.raises(TakenOver, match="another `hookline topics apply`"):
            await first.finish(deleted=[], gone=[])
    await add_foreign(broker, ours)  # returns when the broker lists them
    await apply_table(broker, AclTable())
    assert not ours & await listed(broker)
    async with recording(access_of(broker)) as first:
        await apply_table(broker, AclTable())
        with pytest.raises(TakenOver):
            await first.note(ours)


async def test_the_command_plans_and_applies(
    broker: SecuredBroker, user: str, tmp_path: Path
) -> None:
    """`plan` and `--dry-run` change nothing; `--allow-delete` removes what is not wanted."""
    await apply_table(broker, AclTable())
    file = tmp_path / "acls.toml"
    file.write_text(
        f'[[subscribers]]\nprincipal = "User:{user}"\ntopics = ["{CALLBACKS.name}"]\n'
        f'group_prefix = "{user}-"\n'
    )
    env = env_of(broker, ADMIN) | {"TOPICS_ACLS_FILE": str(file)}
    line = f"ACL User:{user} may read topic {CALLBACKS.name}: "
    assert f"{line}would be created\n" in await hookline(env, "topics", "plan")
    assert not subscribing(user).entries() & await listed(broker)
    output = await hookline(env, "topics", "apply")
    assert f"{line}created\n" in output
    assert "ACLs: 2 new, 0 unchanged, " in output
    file.write_text("")
    output = await hookline(env, "topics", "apply")
    assert f"{line}not wanted any more (to remove it: --allow-delete)\n" in output
    output = await hookline(env, "topics", "apply", "--dry-run", "--allow-delete")
    assert f"{line}would be removed\n" in output
    assert subscribing(user).entries() <= await listed(broker)
    assert f"{line}removed\n" in await hookline(env, "topics", "apply", "--allow-delete")
    assert not subscribing(user).entries() & await listed(broker)


async def test_the_commands_of_the_docs_work(broker: SecuredBroker, tmp_path: Path) -> None:
    """On the file of the docs, in the order of the docs."""
    (tmp_path / "acls.toml").write_text(the_block("acls.toml", "toml"))
    env = env_of(broker, ADMIN)
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", the_block("--acls")),
        cwd=tmp_path,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await asyncio.wait_for(process.communicate(), 300))[0].decode()
    assert process.returncode == 0, output
    for done in ("would be created", "created"):
        assert f"ACL User:billing may read topic tim.callbacks.v1: {done}\n" in output
    for line in the_block("ACL User:billing may read", "").splitlines()[:1]:
        assert f"{line}\n" in output
    assert re.search("ACLs: 0 new, [0-9]+ unchanged, 0 not wanted any more", output)


async def test_a_user_without_the_right_is_named_the_way_out(
    broker: SecuredBroker, user: str
) -> None:
    """As is one that may change ACLs, but not use the record."""
    with pytest.raises(AclsRefused, match=r"may not list ACLs: run it as one of the brokers'"):
        await planned_acls(access_of(broker, user), set())
    await broker.allow("Alter", "Cluster", "kafka-cluster", user=user)
    ours = subscribing("any").entries()
    with pytest.raises(AclsRefused, match=r"may not use hookline\.acls\.v1, the topic with"):
        await apply_acls(access_of(broker, user), ours, allows_deletion=True, replicas=1)
    assert not ours & await listed(broker)


async def test_without_an_authorizer_the_error_names_the_setting(
    shared_kafka: EmbeddedKafka,
) -> None:
    """Nothing is created, not even the record's topic."""
    kafka = KafkaAccess(bootstrap_servers=shared_kafka.address)
    for work in (
        planned_acls(kafka, set()),
        apply_acls(kafka, set(), allows_deletion=False, replicas=1),
    ):
        with pytest.raises(AclsRefused, match=r"set authorizer\.class\.name on every broker"):
            await work


async def test_without_kafka_the_error_names_the_address() -> None:
    """It is not a traceback."""
    with pytest.raises(AclsUnfinished, match=r"127\.0\.0\.1:1 does not answer"):
        await planned_acls(KafkaAccess(bootstrap_servers="127.0.0.1:1"), set())
