"""The ceiling: aiokafka that counts what it reads, `default` as it comes or `tamed`."""

import gc
import sys
from collections.abc import Sequence

from aiokafka import ConsumerRecord, TopicPartition

from bench.archive.peers.reading import run

FETCH_BYTES = 256 << 10
# High, but finite: what is cyclic is still found.
THRESHOLDS = (50_000, 50, 50)


def count(_: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]]) -> None:
    """Look at no record."""
    len(records)


def main() -> None:
    """Read; tamed, with small fetches and a garbage collector that seldom looks."""
    if sys.argv[1] == "tamed":
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        run(count, end=lambda: None, max_partition_fetch_bytes=FETCH_BYTES)
    else:
        run(count, end=lambda: None)


if __name__ == "__main__":
    main()
