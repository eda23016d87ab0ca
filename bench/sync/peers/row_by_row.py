"""
The loop that one writes first: an insert and a commit for each callback.

Its offsets are committed by the clock, so a crash may lose callbacks.
"""

from psycopg import AsyncConnection

from bench.sync.peers.rows import INSERT, Records, row, run_inserting


async def insert(connection: AsyncConnection, records: Records) -> None:
    """Insert each record, and commit it."""
    for record in records:
        await connection.execute(INSERT, row(record))
        await connection.commit()


if __name__ == "__main__":
    # It ends after a fetch, so a fetch must not be large.
    run_inserting(insert, max_poll_records=100)
