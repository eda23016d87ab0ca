"""
Fill the topic as forwarders do: `python -m bench.preload` is one of them.

It sends transactions of a forwarder's size, in batches with its codec, to its partitions.
"""

import asyncio
import itertools
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import click
import uvloop
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.counters.callbacks import RATE, Traffic, callbacks
from bench.ingress.callbacks import record, requests
from ingress.forward.next_transaction import TRANSACTION_ROWS_MAX
from ops.demo.embedded import child
from schemas.outgoing_record import Headers, OutgoingRecord, main_topic_record, with_place_and_id
from schemas.settings import SharedSettings
from schemas.topics import CALLBACKS, record_bytes_max

PRODUCERS = 3
# Without `users`, each producer repeats these with new numbers: making them costs more than sending
# them.
DIFFERENT = 20_000
STEP_RECORDS = 1_000_000
STEP_S_MAX = 300.0


def preload(
    kafka: str,
    records: int,
    directory: Path,
    *,
    users: int = 0,
    history: int = 0,
    say: Callable[[str], None],
) -> int:
    """
    Add `records` records to the topic; return the bytes of their values.

    They are one-to-one messages, of which some have the same ids. With `users`, they are the
    callbacks of bench/counters/callbacks.py, which all have ids of their own, and end now. The
    first `history` of them are spread over the days before the others.

    Raises:
        NotStarted: a producer failed, or did not end in time.
    """
    done = value_bytes = 0
    begins_at_ms = time.time_ns() // 1_000_000 - (records - history) * 1000 // RATE
    while done < records:
        step = min(STEP_RECORDS, records - done)
        begun = time.monotonic()
        traffic = Traffic(
            users=users, begins_at_ms=begins_at_ms, first=done, step=PRODUCERS, history=history
        )
        value_bytes += _step(kafka, step, traffic, directory)
        done += step
        say(f"{done:,} of {records:,} records, {step / (time.monotonic() - begun):,.0f}/s")
    return value_bytes


def _step(kafka: str, records: int, traffic: Traffic, directory: Path) -> int:
    shares = [records // PRODUCERS + (at < records % PRODUCERS) for at in range(PRODUCERS)]
    reports = [directory / f"preload-{at}" for at in range(PRODUCERS)]
    processes = [
        child.start(
            [
                *(sys.executable, "-m", "bench.preload", "--kafka", kafka),
                *("--users", str(traffic.users), "--first", str(traffic.first + at)),
                *("--begins-at-ms", str(traffic.begins_at_ms), "--history", str(traffic.history)),
                *("--records", str(share), "--report", report),
            ],
            log=directory / "preload.log",
        )
        for at, (share, report) in enumerate(zip(shares, reports, strict=True))
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


def _rows(traffic: Traffic) -> Iterator[OutgoingRecord]:
    if traffic.users:
        return map(main_topic_record, callbacks(traffic))
    some = itertools.islice(requests(time.time_ns()), DIFFERENT)
    return itertools.cycle([record(request) for request in some])


async def _produce(kafka: str, records: int, rows: Iterator[OutgoingRecord]) -> int:
    origin = secrets.token_hex(8)
    bytes_max = record_bytes_max(SharedSettings().body_bytes_max)
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
            batches: dict[int, list[BatchBuilder]] = defaultdict(lambda: [producer.create_batch()])
            for sequence in sequences:
                row = next(rows)
                value_bytes += len(row.value)
                headers = with_place_and_id(row.headers, origin, sequence)
                # The ingress's choice; a callback without a conversation goes to the first one.
                share = batches[crc32(row.key or b"") % CALLBACKS.partitions]
                if not _append(share[-1], row, headers):
                    share.append(producer.create_batch())
                    _append(share[-1], row, headers)
            async with producer.transaction():
                await asyncio.gather(
                    *[
                        await producer.send_batch(batch, CALLBACKS.name, partition=partition)
                        for partition, share in batches.items()
                        for batch in share
                    ]
                )
    return value_bytes


def _append(batch: BatchBuilder, row: OutgoingRecord, headers: Headers) -> bool:
    """Return whether the record fits into the batch."""
    added = batch.append(key=row.key, value=row.value, timestamp=None, headers=headers)
    return added is not None


@click.command()
@click.option("--kafka", required=True)
@click.option("--users", required=True, type=int, help="0: repeated messages.")
@click.option("--first", required=True, type=int, help="Number of its first callback.")
@click.option("--begins-at-ms", required=True, type=int, help="Time after the history.")
@click.option("--history", required=True, type=int, help="Callbacks before that time.")
@click.option("--records", required=True, type=int)
@click.option(
    "--report", required=True, type=click.Path(path_type=Path), help="File for the bytes of values."
)
def main(
    *,
    kafka: str,
    users: int,
    first: int,
    begins_at_ms: int,
    history: int,
    records: int,
    report: Path,
) -> None:
    """Send `records` records and write the bytes of their values."""
    rows = _rows(
        Traffic(
            users=users, begins_at_ms=begins_at_ms, first=first, step=PRODUCERS, history=history
        )
    )
    report.write_text(str(uvloop.run(_produce(kafka, records, rows))))


if __name__ == "__main__":
    main()
