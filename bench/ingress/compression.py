"""Measure the CPU time and the size of the forwarder's batches with each codec."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from bench.ingress.callbacks import record, requests
from schemas.outgoing_record import Headers, OutgoingRecord, with_place_and_id

ORIGIN = "0123456789abcdef"
ROWS = 20_000
# A full transaction's rows over six partitions.
ROWS_PER_BATCH = 333
BATCH_BYTES_MAX = 1 << 20
CODECS = {
    "none": 0,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """One codec: CPU time and bytes of the batches, per record."""

    codec: str
    cpu_us: float
    bytes: float


def compressions(*, rounds: int, say: Callable[[str], None]) -> list[Compressed]:
    """Build the same rows into batches with each codec; CPU is the median of the rounds."""
    some = itertools.islice(requests(1), ROWS)
    records = map(record, some)
    rows = [
        (each, with_place_and_id(each.headers, ORIGIN, number))
        for number, each in enumerate(records, 1)
    ]
    measured: dict[str, list[tuple[float, int]]] = {codec: [] for codec in CODECS}
    for number in range(rounds):
        for codec, attributes in CODECS.items():
            say(f"compression, round {number + 1} of {rounds}: {codec}")
            measured[codec].append(_build(rows, attributes))
    return [
        Compressed(
            codec=codec,
            cpu_us=statistics.median(cpu_s for cpu_s, _ in runs) / ROWS * 1e6,
            bytes=runs[0][1] / ROWS,
        )
        for codec, runs in measured.items()
    ]


def _build(rows: list[tuple[OutgoingRecord, Headers]], codec: int) -> tuple[float, int]:
    begun, size = time.process_time(), 0
    for first in range(0, len(rows), ROWS_PER_BATCH):
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=codec,
            is_transactional=1,
            producer_id=1,
            producer_epoch=1,
            base_sequence=0,
            batch_size=BATCH_BYTES_MAX,
        )
        for at, (each, headers) in enumerate(rows[first : first + ROWS_PER_BATCH]):
            builder.append(at, None, each.key, each.value, [*headers])
        size += len(builder.build())
    return time.process_time() - begun, size
