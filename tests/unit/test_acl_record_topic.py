"""The record of ACLs is as safe as the callbacks."""

from ops.acls.record_topic import replicas_for
from schemas.kafka_names import KafkaName
from schemas.topics import CALLBACKS

NAME = KafkaName(f"test.{CALLBACKS.name}")


def test_the_record_has_the_replicas_of_the_main_topic() -> None:
    """Without a main topic, it has those of the option."""
    other = {"topic": "other", "partitions": [{"replicas": [1, 2]}]}
    main = {"topic": NAME, "partitions": [{"replicas": [1, 2, 3]}]}
    assert replicas_for(NAME, [other, main], 1) == 3
    assert replicas_for(NAME, [other], 1) == 1
    assert replicas_for(NAME, [{"topic": NAME, "partitions": []}], 2) == 2
