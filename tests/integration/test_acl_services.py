"""Each service and each command works with nothing but the rights of docs/acls.md."""

import asyncio
import re
from pathlib import Path

import pytest
from support.acls.principals import access_of, env_of, hookline
from support.acls.services import TARGET, Services, messages
from support.docs_blocks import the_block
from support.kafka.access import plaintext
from support.kafka.secured import SecuredBroker
from support.processes.ingress import until
from support.webhook.receiver import Arrival, receiving

from consumers.runtime.batch import Partition, Record
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.handler import Rejected
from consumers.stats.dead_letter_actions import ActionFollower
from consumers.stats.dead_letter_counts import DeadLetters
from consumers.stats.kafka_facts import KafkaFacts, ask_kafka
from ops.acls.apply import apply_acls
from ops.acls.rights import CONSUMER_GROUPS
from ops.acls.table import read_table
from ops.failure import ExitCode
from schemas.topics import CALLBACKS

COUNT = 30
# The first of these senders' callbacks is refused at first, the second one's must wait.
REFUSED, PARKED = "user-3", "user-4"


@pytest.fixture
def broker(own_secured_broker: SecuredBroker, tmp_path: Path) -> SecuredBroker:
    """Return a broker without topics and with the ACLs of the docs."""
    file = tmp_path / "acls.toml"
    file.write_text(the_block("acls.toml", "toml"))
    entries = read_table(file, plaintext("")).entries(plaintext(""))
    kafka = access_of(own_secured_broker)
    asyncio.run(apply_acls(kafka, entries, allows_deletion=False, replicas=1))
    return own_secured_broker


async def once_each(arrival: Arrival) -> int:
    """Refuse one callback, and have another one wait."""
    return {REFUSED: 400, PARKED: 503}.get(arrival.person, 204)


async def accepted(_: Arrival) -> int:
    """Accept all."""
    return 204


@pytest.mark.timeout(900)
async def test_each_service_works_with_only_its_rights(
    broker: SecuredBroker, conninfo: str, valkey_url: str, tmp_path: Path
) -> None:
    """From the topics to audit, repair and replay."""
    topics = env_of(broker, "hookline-topics")
    operator, reader = env_of(broker, "hookline-operator"), env_of(broker, "hookline-reader")
    await hookline(topics, "topics", "apply")
    output = await hookline(topics, "topics", "apply", "--callbacks-partitions", "7")
    assert f"{CALLBACKS.name}: partitions 6 -> 7" in output
    async with receiving() as receiver:
        receiver.answer = once_each
        services = Services(tmp_path, broker, receiver, conninfo=conninfo, valkey_url=valkey_url)
        with services.running():
            await services.ingress.until_ready()
            assert set(await services.send(*messages(1, COUNT))) == {200}
            assert await services.send(b"malformed") == [400]
            await receiver.has(COUNT - 2)
            # The next process has to read the cursor that this one has committed.
            await services.ingress.until_forwarded()
            services.ingress.kill()
            await services.ingress.start()
            assert await services.send(*messages(COUNT + 1, 1)) == [200]
            await receiver.has(COUNT - 1)
            await audited(services, reader)
            await the_statistics(broker)
            for name in CONSUMER_GROUPS:
                await a_dead_letter(broker, name)
            receiver.answer = accepted
            await hookline(operator, "dead-letters", "resend", f"webhook-{TARGET}", "--yes")
            await receiver.has(COUNT + 1)
            code = ExitCode.DEAD_LETTERED
            await hookline(operator, "dead-letters", "resend", "ingress", "--yes", code=code)
            await hookline(
                operator, "dead-letters", "drop", "ingress", "--because", "test", "--yes"
            )
            env = operator | services.webhook_env
            await hookline(env, "replay", f"webhook-{TARGET}", "--yes")
            assert receiver.repeats() > COUNT / 2
    assert not re.search("AuthorizationFailed|does not authorize", services.logs())


async def audited(services: Services, env: dict[str, str]) -> None:
    """Audit all sinks."""
    stats, ingress = services.stats_url, services.ingress.admin_port
    output = await hookline(
        env,
        *("audit", "--archive", str(services.archive), "--postgres", services.conninfo),
        *("--stats", stats, "--ingress", f"http://127.0.0.1:{ingress}", "--wait", "180"),
    )
    assert "proven: every callback is exactly once in Kafka, archive, PostgreSQL" in output


async def a_dead_letter(broker: SecuredBroker, group: str) -> None:
    """Send a record to the dead-letter topic as a consumer does."""
    dead_letters = KafkaDeadLetters(
        kafka=access_of(broker, f"hookline-{group}"), record_bytes_max=1 << 20, group=group
    )
    record = Record(offset=0, timestamp_ms=0, key=b"k", value=b"{}", headers=())
    await dead_letters.send(
        Partition(CALLBACKS.name, 0), record, Rejected(0, "test"), attempts=1, first_failed_at_ms=1
    )


async def the_statistics(broker: SecuredBroker) -> None:
    """Ask Kafka as the statistics do."""
    groups = (*CONSUMER_GROUPS, f"webhook-{TARGET}")
    follower = ActionFollower()

    async def are_known() -> bool:
        facts = await ask_kafka(access_of(broker, "hookline-statistics"), groups, follower)
        return (
            isinstance(facts, KafkaFacts)
            and facts.unread_since.keys() == set(groups)
            and isinstance(facts.dead_letters, DeadLetters)
        )

    await until(are_known, "the statistics know the groups and the dead letters")
