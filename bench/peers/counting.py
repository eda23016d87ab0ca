"""The upper limit: count records with aiokafka, with its defaults (`default`) or `tamed`."""

import gc
import sys
from collections.abc import Sequence

from aiokafka import ConsumerRecord, TopicPartition

from bench.peers.reading import run

FETCH_BYTES = 256 << 10
# High, but finite: cycles are still collected.
THRESHOLDS = (50_000, 50, 50)


async def count(_: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
    """Take the number of records without reading any."""
    len(records)


def main() -> None:
    """Read the topic; if tamed, with small fetches and rare garbage collections."""
    if sys.argv[1] == "tamed":
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        run(count, max_partition_fetch_bytes=FETCH_BYTES)
    else:
        run(count)


if __name__ == "__main__":
    main()
