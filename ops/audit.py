"""
Read everything that a proof needs: the spools' N, both topics, the archive, database, statistics.

An audit may wait for the rest to arrive: then Kafka and the archive are read on from where the last
round ended, the database and the statistics anew.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from psycopg import sql
from yarl import URL

from consumers.archive.segment import Damaged, Line, read_lines, read_summary
from consumers.archive.store import NoStore, Store
from consumers.runtime.handler import Unavailable
from ingress.spools import summaries
from ops.ledger import Entry
from ops.report import Report
from ops.segments import in_order, listed, open_archive
from ops.tally import Accepted, Statistics, Tally
from schemas.topics import CALLBACKS, DEAD_LETTERS


class NotAudited(Exception):
    """Something that the proof needs cannot be read; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is read; `archive` is a URL or a path. A sink that is None is not audited."""

    bootstrap_servers: str
    archive: str
    postgres: str | None = None
    stats: str | None = None


async def audit(
    accepted: Accepted,
    sources: Sources,
    *,
    ledger: Sequence[Entry],
    wait_s: float,
    progress: Callable[[Tally], None],
) -> Report:
    """
    Read everything and report; what is missing is waited for, up to `wait_s`.

    Raises:
        NotAudited: one of the sources cannot be read.
    """
    deadline = time.monotonic() + wait_s
    tally = Tally(
        accepted, ledger, synced=sources.postgres is not None, counted=sources.stats is not None
    )
    seen: set[str] = set()
    try:
        store = open_archive(sources.archive)
    except NoStore as error:
        raise NotAudited(str(error)) from error
    async with _reader(sources.bootstrap_servers) as reader:
        while True:
            # Before Kafka: what was counted by now is in the topic when that is read.
            if sources.stats is not None:
                tally.see_statistics(await _statistics(sources.stats))
            await _read_kafka(reader, tally)
            await _read_archive(store, seen, tally)
            if sources.postgres is not None:
                await asyncio.to_thread(_read_postgres, sources.postgres, tally)
            progress(tally)
            report = tally.report()
            if not report.missing or time.monotonic() > deadline:
                return report
            await asyncio.sleep(0.5)


async def accepted_by_status(admin_url: str) -> Accepted:
    """
    Return N of every origin that running ingresses know, at every address that the URL's name has.

    Each of several replicas behind one name knows N of the spool that it holds.

    Raises:
        NotAudited: none answers.
    """
    found: Accepted = {}
    failures: list[NotAudited] = []
    addresses = await _addresses(admin_url)
    for address in addresses:
        try:
            status = await _ask(f"{address}/status")
        except NotAudited as failure:
            failures.append(failure)
            continue
        for spool in status["spools"]:
            if spool["last_sequence"] is not None:
                found[spool["origin"]] = spool["last_sequence"]
            elif spool["fault"]:
                found.setdefault(spool["origin"], None)
    if len(failures) == len(addresses):
        raise failures[0]
    return found


async def _addresses(url: str) -> list[str]:
    parsed = URL(url)
    try:
        resolved = await asyncio.get_running_loop().getaddrinfo(
            parsed.host, parsed.port, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise NotAudited(f"{parsed.host} cannot be resolved: {error.strerror}") from error
    addresses = sorted({str(each[4][0]) for each in resolved})
    return [str(parsed.with_host(address)) for address in addresses]


def accepted_by_spools(directory: Path) -> Accepted:
    """
    Return N of every origin in a spool directory that no ingress uses.

    Raises:
        NotAudited: a process holds one of its spools, or the disk fails.
    """
    found: Accepted = {}
    try:
        spools = list(summaries(directory))
    except OSError as error:
        raise NotAudited(f"the spools cannot be locked for a moment: {error}") from error
    for spool in spools:
        if spool.last_sequence is None and not spool.fault:
            raise NotAudited(
                f"spool {spool.origin} is held by a running ingress; "
                "name its admin address instead: --ingress http://HOST:8081"
            )
        found[spool.origin] = spool.last_sequence
    return found


async def _ask(url: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.get(url) as response,
        ):
            return await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotAudited(f"{url} does not answer: {error}") from error


async def _statistics(stats_url: str) -> Statistics:
    totals = await _ask(f"{stats_url}/v1/totals")
    return Statistics(
        messages=totals["messages"] + totals["group_messages"],
        people=None if totals["people_error"] else totals["people"],
        applied={
            origin: {
                int(partition.rpartition("/")[2]): (found["applied"], found["sequence_sum"])
                for partition, found in partitions.items()
            }
            for origin, partitions in totals["origins"].items()
        },
    )


async def _read_kafka(reader: AIOKafkaConsumer, tally: Tally) -> None:
    """Read both topics from where the last call ended to their present ends."""
    partitions = list(reader.assignment())
    beginnings = await reader.beginning_offsets(partitions)
    tally.see_beginnings(
        {tp.partition: at for tp, at in beginnings.items() if tp.topic == CALLBACKS.name}
    )
    ends = await reader.end_offsets(partitions)
    while any([await reader.position(tp) < ends[tp] for tp in partitions]):
        for tp, records in (await reader.getmany(timeout_ms=500)).items():
            for record in records:
                if tp.topic == DEAD_LETTERS.name:
                    tally.see_dead_letter(record.headers)
                else:
                    tally.see_record(tp.partition, record.headers, record.value or b"")


async def _read_archive(store: Store, seen: set[str], tally: Tally) -> None:
    """
    Read the segments that the last call has not seen.

    Raises:
        NotAudited: one of them is not what was written, or the store does not answer.
    """
    whole = False
    try:
        while not whole:
            whole = True
            names = [each for _, names in await listed(store) for each in names if each not in seen]
            async for name, content in in_order(names, store.read):
                if content is None:
                    whole = False  # expired meanwhile: the list has what tells of it by now
                else:
                    await asyncio.to_thread(_see, tally, name, content)
                    seen.add(name)
    except Unavailable as error:
        raise NotAudited(f"the archive does not answer: {error}") from error


def _see(tally: Tally, name: str, content: bytes) -> None:
    try:
        summary = read_summary(content)
        for line in read_lines(content):
            tally.see_line(msgspec.json.decode(line, type=Line))
    except Damaged as error:
        raise NotAudited(f"{name}: {error}") from error
    if not summary.records:
        tally.see_expired(summary.partition, summary.origins)


def _read_postgres(conninfo: str, tally: Tally) -> None:
    """
    Read all receipts, and what there is of the ledger's callbacks.

    A receipt counts only with what happened beside it.

    Raises:
        NotAudited: the database does not answer, or has no such tables.
    """
    try:
        with psycopg.connect(conninfo, connect_timeout=10) as connection:
            with connection.cursor(name="receipts") as receipts:
                receipts.itersize = 10_000
                receipts.execute(
                    "select origin, sequence from hookline.receipts r where exists"
                    " (select from hookline.messages m where m.ce_id = r.ce_id) or exists"
                    " (select from hookline.callbacks c where c.ce_id = r.ce_id)"
                )
                tally.see_receipts(receipts)
            for table in ("messages", "callbacks"):
                bodies = connection.execute(
                    sql.SQL(
                        "select ce_id, encode(sha256(convert_to(body::text, 'UTF8')), 'hex')"
                        " from hookline.{} where ce_id = any(%s)"
                    ).format(sql.Identifier(table)),
                    (tally.ledger_ids,),
                )
                for identity, sha256 in bodies:
                    tally.see_row(identity, sha256)
    except psycopg.Error as error:
        raise NotAudited(f"PostgreSQL: {str(error).splitlines()[0]}") from error


@asynccontextmanager
async def _reader(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    # Without a group every partition of the topics is read.
    reader = AIOKafkaConsumer(
        CALLBACKS.name,
        DEAD_LETTERS.name,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await reader.start()
        yield reader
    except KafkaError as error:
        raise NotAudited(f"Kafka at {bootstrap_servers}: {error!r}") from error
    finally:
        await reader.stop()
