"""ACLs as a file, on a broker that checks them."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from support.acls.clients import (
    add_foreign,
    admin,
    apply_table,
    commit,
    delete_group,
    listed,
    receive,
    record_of,
    refused,
    remove,
    send,
    subscribing,
)
from support.acls.foreign_states import foreign_state
from support.acls.principals import access_of
from support.kafka.access import plaintext
from support.kafka.secured import SecuredBroker

from ingress.forward.cursor import cursor_group
from ops.acls import apply
from ops.acls.apply import planned_acls
from ops.acls.record import TRANSACTIONAL_ID, TakenOver
from ops.acls.requests import create_acls, delete_acls
from ops.acls.rights import CONSUMER_GROUPS
from ops.acls.table import AclTable
from ops.dead_letters.to_topic import TRANSACTIONAL_ID as DEAD_LETTERS_ID
from ops.demo.embedded import child
from ops.topic_changes import apply_topics
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
        with refused(TopicAuthorizationFailedError, topic):
            await send(foreign, topic)
        with refused(TopicAuthorizationFailedError, topic):
            await receive(foreign, topic, None)
    for group in OUR_GROUPS:
        with refused(GroupAuthorizationFailedError, group):
            await commit(foreign, group)
    # A service has only its own rights.
    with refused(TopicAuthorizationFailedError, CALLBACKS.name):
        await send(access_of(broker, "archive"), CALLBACKS.name)
    with refused(GroupAuthorizationFailedError, "sync"):
        await commit(access_of(broker, "archive"), "sync")


async def test_a_subscriber_only_reads_in_its_own_groups(broker: SecuredBroker, user: str) -> None:
    """It neither writes, nor touches our groups and transactional ids."""
    await apply_table(broker, subscribing(user))
    await send(access_of(broker), CALLBACKS.name)
    subscriber = access_of(broker, user)
    assert await receive(subscriber, CALLBACKS.name, f"{user}-reports") == 0
    for topic in (CALLBACKS.name, DEAD_LETTERS.name, ACTIONS.name):
        with refused(TopicAuthorizationFailedError, topic):
            await send(subscriber, topic)
    with refused(TopicAuthorizationFailedError, DEAD_LETTERS.name):
        await receive(subscriber, DEAD_LETTERS.name, f"{user}-reports")
    for group in OUR_GROUPS:
        with refused(GroupAuthorizationFailedError, group):
            await receive(subscriber, CALLBACKS.name, group)
        with refused(GroupAuthorizationFailedError, group):
            await commit(subscriber, group)
        with refused(GroupAuthorizationFailedError, group):
            await delete_group(subscriber, group)
    for transactional_id in OUR_IDS:
        with refused(TransactionalIdAuthorizationFailed, transactional_id):
            await send(subscriber, CALLBACKS.name, transactional_id=transactional_id)


async def test_no_acl_of_others_is_touched(
    broker: SecuredBroker,
    user: str,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """Tables change, ACLs of others come: each apply removes only ours."""
    states = scaled(20, at_most=200)
    # This removes ours that other tests left, and makes the record topic.
    await apply_table(broker, AclTable())
    foreign = await listed(broker)
    removed = 0
    for seed in range(states):
        table = (
            subscribing(user),
            AclTable(services={"archive": [f"User:{user}"]}),
            AclTable(webhooks={"crm": [f"User:{user}"]}),
        )[seed % 3]
        wanted = table.entries(plaintext(""))
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
    ours = sorted(subscribing(user).entries(plaintext("")))
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
    """Only what the killed one was about to create or delete may be left, and is reported."""
    await apply_table(broker, subscribing(f"{user}-old"))
    others = foreign_state(1, subscribing(user).entries(plaintext(""))) - await listed(broker)
    await add_foreign(broker, others)
    original = getattr(apply, call)

    async def killed(*arguments: Any, **named: Any) -> None:
        if is_done:
            await original(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(apply, call, killed)
        with pytest.raises(Killed):
            await apply_table(broker, subscribing(user))
    plan = await apply_table(broker, subscribing(f"{user}-new"))
    left = await listed(broker)
    assert others <= left
    of_user = {entry for entry in left - others if entry.principal.startswith(f"User:{user}")}
    uncertain = {
        ("create_acls", True): subscribing(user),
        ("delete_acls", False): subscribing(f"{user}-old"),
    }.get((call, is_done), AclTable())
    assert set(plan.uncertain) == uncertain.entries(plaintext(""))
    assert of_user == subscribing(f"{user}-new").entries(plaintext("")) | uncertain.entries(
        plaintext("")
    )
    await remove(broker, others | uncertain.entries(plaintext("")))


async def test_a_second_apply_ends_the_first_and_reports_what_it_still_makes(
    broker: SecuredBroker, user: str
) -> None:
    """An ACL whose creation is under way when the second one begins is uncertain."""
    ours = subscribing(user).entries(plaintext(""))
    async with record_of(broker) as first:
        await first.note_changing(ours)
        await apply_table(broker, AclTable())
        async with admin(broker) as client:
            await create_acls(client, ours)
        with pytest.raises(TakenOver, match="another `hookline topics apply`"):
            await first.finish(deleted=[], gone=[])
    await add_foreign(broker, ours)  # returns when the broker lists them
    plan = await apply_table(broker, AclTable())
    assert set(plan.uncertain) == ours
    assert any(
        "may be of others" in line for line in plan.lines(is_dry_run=False, allows_deletion=True)
    )
    await remove(broker, ours)
    async with record_of(broker) as first:
        await apply_table(broker, AclTable())
        with pytest.raises(TakenOver):
            await first.note_changing(ours)
