"""The record of ACLs is as safe as the callbacks."""

from ops.acls.record_topic import replicas_for
from schemas.topics import CALLBACKS


def test_the_record_has_the_replicas_of_the_main_topic() -> None:
    """Without a main topic, it has those of the option."""
    other = {"topic": "other", "partitions": [{"replicas": [1, 2]}]}
    main = {"topic": CALLBACKS.name, "partitions": [{"replicas": [1, 2, 3]}]}
    assert replicas_for([other, main], 1) == 3
    assert replicas_for([other], 1) == 1
    assert replicas_for([{"topic": CALLBACKS.name, "partitions": []}], 2) == 2
