"""ACLs on a cluster of three brokers, each of which decides by itself."""

from functools import partial
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAuthorizationFailedError
from support.acls.clients import receive, refused, send
from support.acls.principals import hookline
from support.kafka.secured_cluster import ADMIN, COUNT, SecuredCluster
from support.processes.ingress import Connection, Ingress, post, until

from ops.demo.embedded import child
from schemas.clients import started
from schemas.kafka_names import KafkaName
from schemas.topic_ids import describe_topic
from schemas.topics import CALLBACKS

SERVICE, SUBSCRIBER, FOREIGN = "hookline-ingress", "billing", "foreign"
TABLE = f"""\
[services]
ingress = ["User:{SERVICE}"]
[[subscribers]]
principal = "User:{SUBSCRIBER}"
topics = ["{CALLBACKS.name}"]
group_prefix = "billing-"
dead_letters = "billing.dead.v1"
"""
KILLED = 3


@pytest.mark.timeout(600)
async def test_acls_count_at_each_broker_of_a_cluster(tmp_path: Path) -> None:
    """They are applied by one broker; a killed broker leaves nothing to do."""
    file = tmp_path / "acls.toml"
    file.write_text(TABLE)
    with child.running(SecuredCluster(tmp_path / "cluster")) as cluster:
        await until(partial(has_all_brokers, cluster), f"{COUNT} brokers are there")
        topics = {**cluster.env(ADMIN, 1), "TOPICS_ACLS_FILE": str(file), "TOPICS_REPLICAS": "3"}
        output = await hookline(topics, "topics", "apply")
        assert f"ACL User:{SUBSCRIBER} may write topic billing.dead.v1: created" in output
        assert f"{CALLBACKS.name}: created with 6 partitions" in output
        env = cluster.env(SERVICE, 2)
        ingress = Ingress(tmp_path / "spools", env["HOOKLINE_BOOTSTRAP_SERVERS"], env=env)
        try:
            await ingress.start()
            await a_callback_arrives(ingress, cluster)
            for node in cluster.brokers:
                async with started(AIOKafkaClient(**cluster.access(FOREIGN).options()), 180) as one:
                    with refused(TopicAuthorizationFailedError, CALLBACKS.name):
                        await describe_topic(one, node, KafkaName(CALLBACKS.name))
                with refused(TopicAuthorizationFailedError, CALLBACKS.name):
                    await send(cluster.access(FOREIGN, node), CALLBACKS.name)
            cluster.brokers[KILLED].kill()
            await until(partial(nothing_is_to_do, topics), "the plan has nothing to do")
            await a_callback_arrives(ingress, cluster)
        finally:
            ingress.kill()


async def has_all_brokers(cluster: SecuredCluster) -> bool:
    """Return whether all brokers have registered at the controller."""
    async with started(AIOKafkaClient(**cluster.access(ADMIN, 1).options()), 180) as client:
        return len(client.cluster.brokers()) == COUNT


async def a_callback_arrives(ingress: Ingress, cluster: SecuredCluster) -> None:
    """Send a callback to the ingress, and read one as the subscriber."""
    connection = await Connection.open(ingress.port)
    connection.send(post(b'{"a": 1}'))
    assert (await connection.answer()).status == 200
    connection.close()
    await ingress.until_forwarded()
    assert await receive(cluster.access(SUBSCRIBER, 1), CALLBACKS.name, "billing-reports") >= 0


async def nothing_is_to_do(env: dict[str, str]) -> bool:
    """Return whether no topic and no ACL would be changed; a broker is not known to be dead yet."""
    output = await hookline(env, "topics", "plan", code=None)
    return "ACLs: 0 new, " in output and "would be" not in output
