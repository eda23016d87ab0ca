"""The producer of all peers, with the settings that aiokafka documents against loss."""

import os

from aiokafka import AIOKafkaProducer

APP = "1400000001"
TOPIC = "tim.callbacks.v1"
OK = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'


def producer() -> AIOKafkaProducer:
    """Return an idempotent producer whose records are acknowledged by all replicas."""
    return AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA"],
        enable_idempotence=True,
        acks="all",
        compression_type="zstd",
    )


def key(sender: str, recipient: str) -> bytes:
    """Return a key that keeps a conversation in one partition, and so in order."""
    return "|".join(sorted((sender, recipient))).encode()
