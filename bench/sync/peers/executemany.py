"""
Insert batches by psycopg's `executemany`, a commit for each batch: the usual fast way.

It inserts a callback once, because its id is the primary key. Its offsets are committed by the
clock, so a crash may lose the callbacks of a batch.
"""

from psycopg import AsyncConnection

from bench.sync.peers.rows import INSERT, Records, row, run_inserting

BATCH_ROWS = 1000


async def insert(connection: AsyncConnection, records: Records) -> None:
    """Insert the records in batches."""
    for first in range(0, len(records), BATCH_ROWS):
        batch = records[first : first + BATCH_ROWS]
        # psycopg sends all of them before it waits for the results (libpq's pipeline mode).
        await connection.cursor().executemany(INSERT, list(map(row, batch)))
        await connection.commit()


if __name__ == "__main__":
    run_inserting(insert)
