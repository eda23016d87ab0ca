"""The bytes that each store of a running pipeline takes."""

from collections import Counter
from pathlib import Path

import psycopg
from valkey import Valkey

from consumers.archive.segment_name import SUFFIX
from ops.audit.http_json import get_json
from ops.demo.stack import Stack
from schemas.topics import CALLBACKS

STATUS_S = 60.0


async def spooled(stack: Stack) -> Counter[str]:
    """Return how many rows all spools were given, and their bytes without the free pages."""
    sums = Counter[str]()
    for admin in stack.addresses.admins:
        status = await get_json(f"{admin}/status", timeout_s=STATUS_S)
        sums += Counter({name: status[name] for name in ("last_sequence", "spool_bytes")})
    return sums


def file_bytes(directory: Path, pattern: str) -> int:
    """Return the sizes of the files below a directory whose paths match."""
    return sum(path.stat().st_size for path in directory.rglob(pattern))


def kafka_bytes(stack: Stack) -> int:
    """Return the size of the main topic, without Kafka's indexes."""
    return file_bytes(stack.directory / "kafka", f"{CALLBACKS.name}-*/*.log")


def archive_bytes(stack: Stack) -> int:
    """Return the size of all segments."""
    return file_bytes(Path(stack.addresses.archive), f"*{SUFFIX}")


def postgres_bytes(stack: Stack) -> tuple[int, int]:
    """Return the size of all tables with their indexes, and that of the indexes alone."""
    with psycopg.connect(stack.addresses.postgres) as connection:
        row = connection.execute(
            "select sum(pg_total_relation_size(c.oid)), sum(pg_indexes_size(c.oid))"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'hookline' and c.relkind = 'r'"
        ).fetchone()
    total, indexes = row or (0, 0)
    return int(total), int(indexes)


def valkey_bytes(stack: Stack) -> int:
    """Return the memory that Valkey has allocated."""
    with Valkey.from_url(stack.addresses.valkey) as valkey:
        return int(valkey.info("memory")["used_memory"])
