"""
The loop that one writes first: an insert and a commit for each callback.

Its offsets are committed by the clock, so a crash may lose callbacks.
"""

import os
from collections.abc import Sequence

from aiokafka import ConsumerRecord, TopicPartition
from psycopg import AsyncConnection

from bench.peers.reading import run
from bench.sync.peers.rows import INSERT, row


def main() -> None:
    """Insert into the database at POSTGRES."""
    connections: list[AsyncConnection] = []

    async def write(_: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        # Within the running loop: a connection belongs to one.
        if not connections:
            connections.append(await AsyncConnection.connect(os.environ["POSTGRES"]))
        (connection,) = connections
        for record in records:
            await connection.execute(INSERT, row(record))
            await connection.commit()

    # It ends after a fetch, so a fetch must not be large.
    run(write, max_poll_records=100)


if __name__ == "__main__":
    main()
