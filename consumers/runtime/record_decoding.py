"""
Have an aiokafka client decode fetches as `Record`s, without making a `ConsumerRecord` of each.

That would take as long as all else that the runtime does with a record. aiokafka has no public name
for it, and `requirements/run.txt` pins aiokafka.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords

from consumers.runtime.batch import Record


def decode_as_records(client: AIOKafkaConsumer) -> None:
    """Have `getmany` of `client`, which has started and fetched nothing, return `Record`s."""
    fetcher: Any = client._fetcher  # noqa: SLF001
    fetcher._records = _FetchResults(fetcher._records)  # noqa: SLF001


class _FetchResults(OrderedDict[TopicPartition, FetchResult | FetchError]):
    """The fetches that `getmany` has not returned yet. Nothing of them is decoded so far."""

    def __setitem__(self, partition: TopicPartition, result: FetchResult | FetchError) -> None:
        if isinstance(result, FetchResult):
            result._partition_records.__class__ = _Records  # noqa: SLF001
        super().__setitem__(partition, result)


class _Records(PartitionRecords):
    """Decodes one fetch, skips aborted transactions and markers."""

    def __iter__(self) -> Iterator[Record]:
        # Not `self`, whose `__next__` only calls the iterator's.
        records: Iterator[Record] = self._records_iterator
        return records

    def _consumer_record(self, _: TopicPartition, record: Any) -> Record:
        # `Record(…)` takes twice as long.
        return tuple.__new__(
            Record,
            (
                record.offset,
                record.timestamp,
                record.key,
                record.value or b"",
                tuple(record.headers),
            ),
        )
