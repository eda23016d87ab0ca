"""The tables and the writing of release 0.1.0, for tests of the releases after it."""

from pathlib import Path

import psycopg
from support.builders import P0

from consumers.runtime.batch import Batch
from consumers.runtime.callbacks import callbacks
from consumers.sync.rows import rows

_TABLES = (Path(__file__).parents[3] / "consumers/sync/migrations/0001.sql").read_bytes()
_APPLY = (Path(__file__).parent / "apply.sql").read_bytes()


def made_by_version_1(conninfo: str) -> None:
    """Create the tables as release 0.1.0 did."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("create schema hookline")
        connection.execute(_TABLES)
        connection.execute(
            "insert into hookline.positions (topic, partition, next_offset) values (%s, %s, 0)", P0
        )


def write_as_version_1(conninfo: str, batch: Batch) -> None:
    """Write a batch as release 0.1.0 did, after its check of the version."""
    values = {
        "topic": batch.partition.topic,
        "partition": batch.partition.number,
        "begins_at": batch.begins_at,
        "next_offset": batch.next_offset,
        **dict.fromkeys(("last_offset", "last_origin", "last_sequence", "topic_id")),
        **rows(callbacks(batch)).columns(),
    }
    with psycopg.connect(conninfo) as connection:
        versions = connection.execute("select version from hookline.schema_version").fetchall()
        assert versions == [(1,)]
        applied = connection.execute(_APPLY, values).fetchone()
        assert applied == (1, None)
