"""
The loop that one writes first: JSON lines into one zstd stream per partition, auto-commit.

It has no guarantee: offsets are committed by the clock, so a crash loses or repeats lines,
and may leave an unreadable stream.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import orjson
import zstandard
from aiokafka import ConsumerRecord, TopicPartition

from bench.peers.reading import run

LEVEL = 3


def line(record: ConsumerRecord[bytes, bytes]) -> bytes:
    """Return all fields of a record."""
    return orjson.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": None if record.key is None else record.key.decode(),
            "headers": {name: value.decode() for name, value in record.headers},
            "body": orjson.Fragment(record.value or b"null"),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def main() -> None:
    """Write DIRECTORY/PARTITION.jsonl.zst."""
    directory = Path(os.environ["DIRECTORY"])
    streams: dict[TopicPartition, zstandard.ZstdCompressionWriter] = {}
    with contextlib.ExitStack() as opened:

        async def write(
            partition: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]]
        ) -> None:
            if partition not in streams:
                file = (directory / f"{partition.partition}.jsonl.zst").open("wb")
                compressor = zstandard.ZstdCompressor(level=LEVEL)
                streams[partition] = opened.enter_context(compressor.stream_writer(file))
            streams[partition].write(b"".join(map(line, records)))

        async def end() -> None:
            opened.close()

        run(write, end=end)


if __name__ == "__main__":
    main()
