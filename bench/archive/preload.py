"""
Fill the topic as forwarders do: `python -m bench.archive.preload` is one of them.

It sends transactions of a forwarder's size, in batches with its codec, to its partitions.
"""

import asyncio
import itertools
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import click
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.ingress.callbacks import record, requests
from ingress.forward.refused_rows import TRANSACTION_ROWS_MAX
from ops.demo.embedded import child
from schemas.record import with_place
from schemas.settings import Shared
from schemas.topics import CALLBACKS, record_bytes_max

PRODUCERS = 3
# Each producer repeats these with new numbers, because making them costs more than sending them.
DIFFERENT = 20_000
STEP_RECORDS = 1_000_000
STEP_S_MAX = 300.0


def preload(kafka: str, records: int, directory: Path, *, say: Callable[[str], None]) -> int:
    """
    Add `records` records to the topic; return the bytes of their values.

    Raises:
        NotStarted: a producer failed, or did not end in time.
    """
    done = value_bytes = 0
    while done < records:
        step = min(STEP_RECORDS, records - done)
        begun = time.monotonic()
        value_bytes += _step(kafka, step, directory)
        done += step
        say(f"{done:,} of {records:,} records, {step / (time.monotonic() - begun):,.0f}/s")
    return value_bytes


def _step(kafka: str, records: int, directory: Path) -> int:
    shares = [records // PRODUCERS + (at < records % PRODUCERS) for at in range(PRODUCERS)]
    reports = [directory / f"preload-{at}" for at in range(PRODUCERS)]
    processes = [
        child.start(
            [
                *(sys.executable, "-m", "bench.archive.preload", "--kafka", kafka),
                *("--records", str(share), "--report", report),
            ],
            log=directory / "preload.log",
        )
        for share, report in zip(shares, reports, strict=True)
    ]
    deadline = time.monotonic() + STEP_S_MAX
    try:
        for process in processes:
            if process.wait(max(deadline - time.monotonic(), 0)) != 0:
                raise child.NotStarted(f"a producer failed; see {directory / 'preload.log'}")
    except subprocess.TimeoutExpired as error:
        raise child.NotStarted(f"{records:,} records take longer than {STEP_S_MAX:g} s") from error
    finally:
        for process in processes:
            if process.poll() is None:
                child.kill(process)
    return sum(int(report.read_text()) for report in reports)


async def _produce(kafka: str, records: int) -> int:
    origin = secrets.token_hex(8)
    some = itertools.islice(requests(time.time_ns()), DIFFERENT)
    rows = itertools.cycle([record(request) for request in some])
    bytes_max = record_bytes_max(Shared().body_bytes_max)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        transactional_id=origin,
        compression_type="zstd",
        max_batch_size=bytes_max,
        max_request_size=bytes_max,
    )
    value_bytes = 0
    async with producer:
        for first in range(1, records + 1, TRANSACTION_ROWS_MAX):
            sequences = range(first, min(first + TRANSACTION_ROWS_MAX, records + 1))
            batches: dict[int, BatchBuilder] = defaultdict(producer.create_batch)
            for sequence in sequences:
                row = next(rows)
                value_bytes += len(row.value)
                headers = with_place(row.headers, origin, sequence)
                # The ingress's choice; every message has a conversation.
                batch = batches[crc32(row.key or b"") % CALLBACKS.partitions]
                if not batch.append(key=row.key, value=row.value, timestamp=None, headers=headers):
                    raise AssertionError("a transaction's share does not fit into a batch")
            async with producer.transaction():
                await asyncio.gather(
                    *[
                        await producer.send_batch(batch, CALLBACKS.name, partition=partition)
                        for partition, batch in batches.items()
                    ]
                )
    return value_bytes


@click.command()
@click.option("--kafka", required=True)
@click.option("--records", required=True, type=int)
@click.option(
    "--report", required=True, type=click.Path(path_type=Path), help="File for the bytes of values."
)
def main(*, kafka: str, records: int, report: Path) -> None:
    """Send `records` records and write the bytes of their values."""
    report.write_text(str(uvloop.run(_produce(kafka, records))))


if __name__ == "__main__":
    main()
