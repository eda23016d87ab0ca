"""A broker that shuts down answers nothing that would mean that topics are missing."""

import contextlib

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from support.kafka.access import plaintext
from support.processes.ingress import until

from consumers.stats import kafka_facts
from ingress.forward.topic_check import current_topic_id
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.clients import started
from schemas.kafka_names import KafkaName
from schemas.missing_topics import missing_topics
from schemas.topics import CALLBACKS, DEAD_LETTERS

# A broker that shuts down may end before it is asked while its partitions have no leader.
ATTEMPTS = 20


async def test_a_broker_that_shuts_down_lacks_no_topic(own_kafka: EmbeddedKafka) -> None:
    """First it lists itself and no leader, then no broker; then it is away."""
    for _ in range(ATTEMPTS):
        errors = await errors_while_it_shuts_down(own_kafka)
        assert not any(isinstance(error, UnknownTopicOrPartitionError) for error in errors)
        if f"topic {CALLBACKS.name} has no leader now" in str(errors):
            return
        own_kafka.start()
    raise AssertionError(f"in {ATTEMPTS} attempts the broker listed no topic without a leader")


async def errors_while_it_shuts_down(own_kafka: EmbeddedKafka) -> list[KafkaError]:
    """Shut the broker down, and return what its clients raise meanwhile."""
    kafka = plaintext(own_kafka.address)
    topic, other = kafka.topic(CALLBACKS.name), kafka.topic(DEAD_LETTERS.name)
    errors: list[KafkaError] = []
    producer = AIOKafkaProducer(**kafka.options())
    reader = AIOKafkaConsumer(**kafka.options())
    async with started(producer, 180, probes=False), started(reader, 180, probes=False):

        async def finds_the_topic() -> bool:
            with contextlib.suppress(KafkaError):
                return bool(await current_topic_id(producer, topic))
            return False

        await until(finds_the_topic, "the broker leads its partitions")
        assert await missing_topics(producer.client, [topic, KafkaName("x")]) == ["x"]
        assert await kafka_facts.find_partitions(reader, topic)
        assert own_kafka.process is not None
        own_kafka.process.terminate()
        while own_kafka.process.poll() is None:
            await producer.client.force_metadata_update()
            try:
                await current_topic_id(producer, topic)
            except KafkaError as error:
                errors.append(error)
        with pytest.raises((KafkaError, TimeoutError)):
            await missing_topics(producer.client, [topic])
        # The reader has not asked for this topic before.
        with pytest.raises(KafkaError):
            await kafka_facts.find_partitions(reader, other)
    return errors
