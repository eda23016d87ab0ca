"""
Insert batches by psycopg's `executemany`, a commit for each batch: the usual fast way.

It inserts a callback once, because its id is the primary key. Its offsets are committed by the
clock, so a crash may lose the callbacks of a batch.
"""

import os
from collections.abc import Sequence

from aiokafka import ConsumerRecord, TopicPartition
from psycopg import AsyncConnection

from bench.peers.reading import run
from bench.sync.peers.rows import INSERT, row

BATCH_ROWS = 1000


def main() -> None:
    """Insert into the database at POSTGRES."""
    connections: list[AsyncConnection] = []

    async def write(_: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        # Within the running loop: a connection belongs to one.
        if not connections:
            connections.append(await AsyncConnection.connect(os.environ["POSTGRES"]))
        (connection,) = connections
        for first in range(0, len(records), BATCH_ROWS):
            batch = records[first : first + BATCH_ROWS]
            # psycopg sends all of them before it waits for the results (libpq's pipeline mode).
            await connection.cursor().executemany(INSERT, list(map(row, batch)))
            await connection.commit()

    run(write)


if __name__ == "__main__":
    main()
