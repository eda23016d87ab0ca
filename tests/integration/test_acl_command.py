"""`hookline topics plan|apply --acls`, and the errors that name the way out."""

import asyncio
import os
import re
import secrets
import sys
from pathlib import Path

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from support.acls.clients import apply_table, listed, receive, refused, send, subscribing
from support.acls.principals import access_of, env_of, hookline
from support.docs_blocks import the_block
from support.kafka.access import plaintext
from support.kafka.secured import ADMIN, SecuredBroker

from consumers.runtime.batch import Partition, Record
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.handler import Rejected
from ops.acls.apply import AclsUnfinished, apply_acls, planned_acls
from ops.acls.requests import AclsRefused
from ops.acls.table import AclTable
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import ExitCode
from schemas.kafka_access import KafkaAccess
from schemas.topics import CALLBACKS, record_bytes_max


@pytest.fixture
def user() -> str:
    """Return a user that no other test has."""
    return f"u{secrets.token_hex(4)}"


async def test_the_command_plans_and_applies(
    secured_broker: SecuredBroker, user: str, tmp_path: Path
) -> None:
    """`plan` and `--dry-run` change nothing; `--allow-delete` removes what is not wanted."""
    await apply_table(secured_broker, AclTable())
    file = tmp_path / "acls.toml"
    file.write_text(
        f'[[subscribers]]\nprincipal = "User:{user}"\ntopics = ["{CALLBACKS.name}"]\n'
        f'group_prefix = "{user}-"\n'
    )
    env = env_of(secured_broker, ADMIN) | {"TOPICS_ACLS_FILE": str(file)}
    line = f"ACL User:{user} may read topic {CALLBACKS.name}: "
    assert f"{line}would be created\n" in await hookline(env, "topics", "plan")
    assert not subscribing(user).entries(plaintext("")) & await listed(secured_broker)
    output = await hookline(env, "topics", "apply")
    assert f"{line}created\n" in output
    assert "ACLs: 2 new, 0 unchanged, " in output
    file.write_text("")
    output = await hookline(env, "topics", "apply", "--allow-delete", code=ExitCode.UNREADABLE)
    assert "acls.toml names no principal, so --allow-delete would remove every ACL" in output
    file.write_text(f'[services]\narchive = ["User:{user}-other"]\n')
    output = await hookline(env, "topics", "apply")
    assert f"{line}not wanted any more (to remove it: --allow-delete)\n" in output
    output = await hookline(env, "topics", "apply", "--dry-run", "--allow-delete")
    assert f"{line}would be removed\n" in output
    assert subscribing(user).entries(plaintext("")) <= await listed(secured_broker)
    assert f"{line}removed\n" in await hookline(env, "topics", "apply", "--allow-delete")
    assert not subscribing(user).entries(plaintext("")) & await listed(secured_broker)
    await apply_table(secured_broker, AclTable())


async def test_a_subscriber_gets_a_topic_for_its_own_dead_letters(
    secured_broker: SecuredBroker, user: str, tmp_path: Path
) -> None:
    """The command makes the topic and gives the right to it, to this subscriber alone."""
    broker, topic, file = secured_broker, f"{user}.dead.v1", tmp_path / "acls.toml"
    file.write_text(
        f'[[subscribers]]\nprincipal = "User:{user}"\ntopics = ["{CALLBACKS.name}"]\n'
        f'group_prefix = "{user}-"\ndead_letters = "{topic}"\n'
    )
    env = env_of(broker, ADMIN) | {"TOPICS_ACLS_FILE": str(file)}
    output = await hookline(env, "topics", "plan")
    assert f"{topic}: would be created with 1 partition\n" in output
    assert f"ACL User:{user} may write topic {topic}: would be created\n" in output
    assert f"{topic}: created with 1 partition\n" in await hookline(env, "topics", "apply")
    dead_letters = KafkaDeadLetters(
        kafka=access_of(broker, user),
        record_bytes_max=record_bytes_max(1 << 20),
        group=f"{user}-reports",
        topic=topic,
    )
    largest = Record(
        offset=0,
        timestamp_ms=0,
        key=b"k",
        value=secrets.token_bytes(1 << 20),
        headers=[("h", b"x" * (60 << 10))],
    )
    await dead_letters.send(
        Partition(CALLBACKS.name, 0), largest, Rejected(0, "no"), attempts=1, first_failed_at_ms=1
    )
    assert await receive(access_of(broker, user), topic, f"{user}-reports") == 0
    with refused(TopicAuthorizationFailedError, topic):
        await send(access_of(broker, f"{user}-other"), topic)
    output = await hookline(env, "topics", "apply")
    assert f"{topic}: exists; it is another team's, and stays as it is\n" in output
    assert "ACLs: 0 new" in output
    await apply_table(broker, AclTable())


async def test_the_commands_of_the_docs_work(secured_broker: SecuredBroker, tmp_path: Path) -> None:
    """On the file of the docs, in the order of the docs."""
    (tmp_path / "acls.toml").write_text(the_block("acls.toml", "toml"))
    env = env_of(secured_broker, ADMIN)
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
    secured_broker: SecuredBroker, user: str
) -> None:
    """As is one that may change ACLs, but not use the record."""
    with pytest.raises(AclsRefused, match=r"may not list ACLs: run it as one of the brokers'"):
        await planned_acls(access_of(secured_broker, user), set())
    await secured_broker.allow("Alter", "Cluster", "kafka-cluster", user=user)
    ours = subscribing("any").entries(plaintext(""))
    with pytest.raises(AclsRefused, match=r"may not use hookline\.acls\.v1, the topic with"):
        await apply_acls(access_of(secured_broker, user), ours, allows_deletion=True, replicas=1)
    assert not ours & await listed(secured_broker)


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
    with pytest.raises(AclsUnfinished, match=r"127\.0\.0\.1:1 cannot be used: the connection"):
        await planned_acls(KafkaAccess(bootstrap_servers="127.0.0.1:1"), set())
