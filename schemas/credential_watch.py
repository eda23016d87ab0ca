"""Give a client of Kafka that runs for long the current password and certificates."""

import asyncio

from schemas.client_parts import Client, use_credentials
from schemas.kafka_access import KafkaAccess

READ_INTERVAL_S = 1.0


async def watch_credentials(client: Client, kafka: KafkaAccess) -> None:
    """
    Read the files of `kafka` again and again, and have `client` use them, until cancelled.

    aiokafka authenticates each new connection with what the client was made with, and after a
    rotation it would never try anything else. While a file cannot be used, the client keeps what it
    has: the options with which it was made were made in this process.
    """
    while kafka.security.has_files:
        await asyncio.sleep(READ_INTERVAL_S)
        use_credentials(client, await asyncio.to_thread(kafka.options))
