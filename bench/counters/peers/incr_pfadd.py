"""
The counter that one writes first: an INCR and a PFADD for each record, in pipelines.

It has no guarantee: offsets are committed by the clock, so a crash counts some records again or
never, and a repeated callback is counted twice. It has one number for each app and minute, and an
estimate of the people of a day.
"""

import gc
import os
from collections.abc import Sequence

import orjson
from aiokafka import ConsumerRecord, TopicPartition
from valkey.asyncio import Valkey

from bench.peers.counting import FETCH_BYTES, THRESHOLDS
from bench.peers.reading import run

PIPELINE_RECORDS = 1000


def main() -> None:
    """Count into the Valkey at VALKEY."""
    valkey = Valkey.from_url(os.environ["VALKEY"])

    async def count(_: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
        for first in range(0, len(records), PIPELINE_RECORDS):
            pipeline = valkey.pipeline(transaction=False)
            for record in records[first : first + PIPELINE_RECORDS]:
                headers = dict(record.headers)
                app, time = headers["ce_sdkappid"].decode(), headers["ce_time"].decode()
                body = orjson.loads(record.value or b"{}")
                people = [body[field] for field in ("From_Account", "To_Account") if field in body]
                pipeline.incr(f"messages:{app}:{time[:16]}")
                pipeline.pfadd(f"people:{app}:{time[:10]}", *people)
            await pipeline.execute()

    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    run(count, max_partition_fetch_bytes=FETCH_BYTES)


if __name__ == "__main__":
    main()
