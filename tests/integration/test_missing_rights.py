"""A missing right is named where it is missed, and does not look like an outage."""

import secrets

import pytest
from support.acls.principals import access_of
from support.kafka.secured import SecuredBroker
from support.processes.ingress import until

from consumers.stats import kafka_facts
from consumers.stats.dead_letter_actions import ActionFollower
from consumers.stats.kafka_facts import ask_kafka
from consumers.webhook.retry_topic import retry_topic
from consumers.webhook.retry_topic_setup import ensure_topic
from ops.topic_changes import apply_topics
from schemas.kafka_outage import NotAuthorized
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS


@pytest.fixture
def user() -> str:
    """Return a user that no other test has."""
    return f"u{secrets.token_hex(4)}"


async def test_the_statistics_log_each_right_that_they_lack(
    secured_broker: SecuredBroker, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of groups, topics and configurations; the statistics do without the rest."""
    broker, kafka = secured_broker, access_of(secured_broker, user)
    await apply_topics(access_of(broker), body_bytes_max=1 << 20, replicas=1)
    for operation, topic in (
        ("Describe", CALLBACKS.name),
        ("DescribeConfigs", CALLBACKS.name),
        ("Describe", ACTIONS.name),
        ("Describe", DEAD_LETTERS.name),
    ):
        caplog.clear()
        denied = f'for the topic "{topic}"; give it the rights'

        async def is_logged(denied: str = denied) -> bool:
            kafka_facts._warn.cache_clear()  # noqa: SLF001
            await ask_kafka(kafka, ["archive"], ActionFollower())
            return denied in caplog.text and 'for the group "archive"' in caplog.text

        # On a busy machine Kafka may not answer in time.
        await until(is_logged, f"the missing right for {topic} is logged")
        await broker.allow(operation, "Topic", topic, user=user)


async def test_a_webhook_without_a_right_names_it(secured_broker: SecuredBroker, user: str) -> None:
    """It does not ask a person to create the topic that it may not create."""
    broker, kafka, topic = secured_broker, access_of(secured_broker, user), retry_topic(user)
    await apply_topics(access_of(broker), body_bytes_max=1 << 20, replicas=1)
    for right, denied in (
        (("Describe", "Topic", CALLBACKS.name), CALLBACKS.name),
        (("Create", "Topic", topic), topic),
        (("Describe", "Topic", topic), topic),
        (("DescribeConfigs", "Topic", topic), topic),
    ):
        with pytest.raises(NotAuthorized, match=f'for the topic "{denied}"; give it the rights'):
            await ensure_topic(kafka, topic)
        await broker.allow(*right, user=user)
    assert await ensure_topic(kafka, topic) > 0
