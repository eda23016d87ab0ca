"""Two pipelines on one cluster, each with its prefix: none reads, writes or fences the other's."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from support.acls.clients import commit, receive, refused, send
from support.acls.principals import access_of, hookline
from support.acls.services import TARGET, Services, messages
from support.docs_blocks import the_block
from support.kafka.admin import admin_client
from support.kafka.secured import SecuredBroker
from support.processes.consumer import Consumer
from support.processes.ingress import Ingress, until
from support.webhook.receiver import Receiver, receiving

from ops.demo.embedded import child
from ops.demo.embedded.valkey import EmbeddedValkey
from ops.failure import ExitCode
from schemas.topics import CALLBACKS, TOPICS

COUNT = 40
PREFIX = "staging."
TEAMS = {"hookline": "", "staging": PREFIX}
# The number of the first message of the second pipeline.
FIRST = 1000


def variables(broker: SecuredBroker, prefix: str) -> dict[str, str]:
    """Return those of a command with every right, on the pipeline with this prefix."""
    return {"HOOKLINE_BOOTSTRAP_SERVERS": broker.address, "HOOKLINE_KAFKA_PREFIX": prefix}


async def apply(broker: SecuredBroker, tmp_path: Path, team: str) -> str:
    """Make the topics and the ACLs of a team's pipeline; return the output."""
    file = tmp_path / f"{team}.toml"
    file.write_text(the_block("acls.toml", "toml").replace("User:hookline", f"User:{team}"))
    options = ("--acls", str(file), "--replicas", "1", "--allow-delete")
    return await hookline(variables(broker, TEAMS[team]), "topics", "apply", *options)


async def store(services: Services, *, first: int) -> None:
    """Store callbacks; between them the ingress is killed, as one that has sent some of them."""
    await services.ingress.until_ready()
    half = COUNT // 2
    assert set(await services.send(*messages(first, half))) == {200}
    await services.ingress.until_forwarded()
    services.ingress.kill()
    await services.ingress.start()
    assert set(await services.send(*messages(first + half, half))) == {200}


async def check_audit(services: Services) -> None:
    """Check that an audit proves every callback in each sink, and knows no other origin."""
    ingress = f"http://127.0.0.1:{services.ingress.admin_port}"
    output = await hookline(
        services.env_of("reader") | {"HOOKLINE_LOG_LEVEL": "ERROR"},
        *("audit", "--json", "--archive", str(services.archive), "--postgres", services.conninfo),
        *("--stats", services.stats_url, "--ingress", ingress, "--wait", "180"),
    )
    report: dict[str, Any] = json.loads(output[output.index("{") :])
    assert (report["missing"], report["doubled"], report["proven"]) == (0, 0, True)
    (origin,) = report["origins"]
    sinks = ("kafka", "archive", "postgres", "counts")
    assert {origin["sinks"][sink]["sequences"] for sink in sinks} == {COUNT}
    with psycopg.connect(services.conninfo) as connection:
        (row,) = connection.execute("select count(*) from hookline.receipts")
    assert row == (COUNT,)


@pytest.mark.timeout(900)
async def test_two_pipelines_share_a_cluster(
    own_secured_broker: SecuredBroker, conninfo: str, valkey_url: str, tmp_path: Path
) -> None:
    """Both run at once, each proven; then neither's principals nor its stores can be mistaken."""
    outputs = [await apply(own_secured_broker, tmp_path, team) for team in TEAMS]
    assert (
        f"\nACL User:staging-archive may read topic staging.{CALLBACKS.name}: created"
        in (outputs[1])
    )
    # The other's ACLs are neither removed nor counted as its own.
    assert "ACLs: 0 new" in (output := await apply(own_secured_broker, tmp_path, "hookline"))
    assert "0 not wanted any more" in output
    async with receiving() as one, receiving() as other:
        with child.running(EmbeddedValkey(tmp_path / "valkey")) as valkey:
            first = made(
                own_secured_broker,
                tmp_path,
                "hookline",
                one,
                {"conninfo": conninfo, "valkey_url": valkey_url},
            )
            urls = {"conninfo": another_database(conninfo), "valkey_url": valkey.url}
            second = made(own_secured_broker, tmp_path, "staging", other, urls)
            with first.running(), second.running():
                await asyncio.gather(store(first, first=1), store(second, first=FIRST))
                for receiver in (one, other):
                    await receiver.has(COUNT)
                assert await second.send(b"malformed") == [400]
                await asyncio.gather(*map(check_audit, (first, second)))
                await check_names(own_secured_broker)
                await operate(second)
                assert "AuthorizationFailed" not in first.logs() + second.logs()
                # Texts name partitions as the cluster knows them.
                assert f"continues with staging.{CALLBACKS.name}/" in second.logs()
                assert not re.findall(r".*(?<!staging\.)\btim\.callbacks\.\S*/.*", second.logs())
            people = [{int(each.person.split("-")[1]) for each in r.arrivals} for r in (one, other)]
            assert max(people[0]) < min(people[1])
            await check_rights(own_secured_broker)
            await check_other_prefix(own_secured_broker, tmp_path, second, valkey.url)


async def operate(services: Services) -> None:
    """Run the commands that write to Kafka, and one that names places in it."""
    operator = services.env_of("operator")
    resend = ("dead-letters", "resend", "ingress", "--yes")
    await hookline(operator, *resend, code=ExitCode.DEAD_LETTERED)
    await hookline(operator, "dead-letters", "drop", "ingress", "--because", "test", "--yes")
    env = operator | services.webhook_env
    assert f"{COUNT} callbacks sent again" in await hookline(
        env, "replay", f"webhook-{TARGET}", "--yes"
    )
    found = await hookline(operator, "find", f"user-{FIRST}", "--as", "user")
    assert f"{PREFIX}{CALLBACKS.name}/" in found


def another_database(conninfo: str) -> str:
    """Return the connection string of a new database of the same server."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("create database staging")
    return f"{conninfo.rsplit('/', 1)[0]}/staging"


def made(
    broker: SecuredBroker,
    directory: Path,
    team: str,
    receiver: Receiver,
    urls: Mapping[str, str],
) -> Services:
    """Return the services of a team."""
    (directory / team).mkdir()
    return Services(
        directory / team,
        broker,
        receiver,
        conninfo=urls["conninfo"],
        valkey_url=urls["valkey_url"],
        team=team,
        prefix=TEAMS[team],
    )


async def check_names(broker: SecuredBroker) -> None:
    """Check that the names of one pipeline are those of the other with the prefix."""
    async with admin_client(broker.address) as admin:
        topics = {name for name in await admin.list_topics() if not name.startswith("__")}
        groups = {group for group, _ in await admin.list_consumer_groups()}
    for names in (topics, groups):
        bare = {name for name in names if not name.startswith("staging.")}
        with_prefix = {name.removeprefix("staging.") for name in names - bare}
        # The group of a cursor is named after its origin.
        assert {name[:15] for name in bare} == {name[:15] for name in with_prefix}
        assert len(bare) == len(with_prefix)
    assert {topic.name for topic in TOPICS} < topics


async def check_rights(broker: SecuredBroker) -> None:
    """Check that Kafka refuses a principal of each pipeline in the other one."""
    for team, other in (("hookline", "staging."), ("staging", "")):
        reader, ingress = access_of(broker, f"{team}-archive"), access_of(broker, f"{team}-ingress")
        topic = f"{other}{CALLBACKS.name}"
        own = f"{TEAMS[team]}{CALLBACKS.name}"
        assert await receive(reader, own, None) >= 0
        with refused(TopicAuthorizationFailedError, topic):
            await receive(reader, topic, None)
        with refused(TopicAuthorizationFailedError, topic):
            await send(ingress, topic)
        with refused(GroupAuthorizationFailedError, f"{other}archive"):
            await commit(reader, f"{other}archive")
        for bare_id in ("0123456789abcdef", "hookline-spool-0123456789abcdef"):
            if other or bare_id.startswith("0"):
                with refused(TransactionalIdAuthorizationFailed, other + bare_id):
                    await send(ingress, own, transactional_id=other + bare_id)


async def check_other_prefix(
    broker: SecuredBroker, tmp_path: Path, services: Services, valkey_url: str
) -> None:
    """Check that stores are refused under another prefix, and are untouched by it."""
    wrong = Ingress(tmp_path / "staging" / "spools", broker.address)
    wrong.launch()
    assert await asyncio.to_thread(wrong.process.wait, 180) == 1
    assert "set HOOKLINE_KAFKA_PREFIX to" in wrong.log.read_text()
    own = {
        "archive": {"ARCHIVE_URL": str(services.archive)},
        "sync": {"SYNC_POSTGRES": services.conninfo},
        "counters": {"COUNTERS_VALKEY": valkey_url},
    }
    consumers = [
        Consumer(name, broker.address, tmp_path / f"wrong-{name}.log", env=env)
        for name, env in own.items()
    ]

    env = own["archive"] | {"HOOKLINE_KAFKA_PREFIX": "new."}
    early = Consumer("archive", broker.address, tmp_path / "early.log", env=env)

    async def have_stopped() -> bool:
        missing = f"topic new.{CALLBACKS.name} does not exist"
        return missing in early.log.read_text() and all(
            "waits for a person" in each.log.read_text() for each in consumers
        )

    try:
        for each in (early, *consumers):
            each.launch()
        await until(have_stopped, "each consumer stops, or waits for its topic")
    finally:
        for each in (early, *consumers):
            each.kill()
    for each in consumers:
        text = each.log.read_text()
        assert f"The position of the sink of {each.name} in {CALLBACKS.name}/" in text
        assert "HOOKLINE_KAFKA_PREFIX or the sink's address wrong?" in text
    # With its own prefix again, the same stores are complete.
    with services.running():
        await services.ingress.until_ready()
        await check_audit(services)
