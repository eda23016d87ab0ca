"""The producer that the peers share, as aiokafka's documentation has it for nothing lost."""

import os

from aiokafka import AIOKafkaProducer

APP = "1400000001"
TOPIC = "tim.callbacks.v1"
OK = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'


def producer() -> AIOKafkaProducer:
    """Return a producer that has every record acknowledged by all replicas, and once."""
    return AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA"],
        enable_idempotence=True,
        acks="all",
        compression_type="zstd",
    )


def key(sender: str, recipient: str) -> bytes:
    """Return what keeps a conversation in one partition, and so in order."""
    return "|".join(sorted((sender, recipient))).encode()
