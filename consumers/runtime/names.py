"""Partitions as the cluster knows them, with the prefix of the pipeline's names, and without it."""

from aiokafka import TopicPartition

from consumers.runtime.batch import Partition
from schemas.kafka_access import KafkaAccess


def in_kafka(kafka: KafkaAccess, partition: Partition) -> TopicPartition:
    """Return `partition` for a call of a client."""
    return TopicPartition(kafka.topic(partition.topic), partition.number)


def from_kafka(kafka: KafkaAccess, tp: TopicPartition) -> Partition:
    """Return the partition that a client has returned, with the bare name of its topic."""
    return Partition(kafka.bare(tp.topic), tp.partition)
