"""Fetches are decoded as the runtime's records."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from consumers.runtime.batch import Record
from consumers.runtime.record_decoding import decode_as_records

P0 = TopicPartition("tim.callbacks.v1", 0)


def a_fetch() -> FetchResult:
    """Return a fetch of three records from offset 1 on; the batch begins at offset 0."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 5, b"before", b"{}", [])
    builder.append(1, 6, b"key", b"{}", [("a", b"1"), ("b", None)])
    builder.append(2, 7, None, None, [])
    builder.append(3, 8, b"key", b"[]", [])
    fetched = MemoryRecords(bytes(builder.build()))
    state = SimpleNamespace(paused=False, position=1)

    def consumed_to(offset: int) -> None:
        state.position = offset

    state.consumed_to = consumed_to
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    records = PartitionRecords(P0, fetched, [], 1, None, None, check_crcs=True, isolation_level=1)
    return FetchResult(P0, assignment=assignment, partition_records=records, backoff=0)


def test_a_fetch_is_returned_in_parts_as_records() -> None:
    """A part ends where the client wants it, and the next one continues there."""
    client: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records={}))
    decode_as_records(client)
    client._fetcher._records[P0] = fetch = a_fetch()  # noqa: SLF001
    assert fetch.getall(2) == [
        Record(1, 6, b"key", b"{}", (("a", b"1"), ("b", None))),  # type: ignore[arg-type]
        Record(2, 7, None, b"", ()),
    ]
    assert fetch.has_more()
    (last,) = fetch.getall(2)
    assert isinstance(last, Record)
    assert last == (3, 8, b"key", b"[]", ())
    assert not fetch.has_more()


def test_an_error_of_a_fetch_stays_as_it_is() -> None:
    """The client raises it when it is asked for records."""
    client: Any = SimpleNamespace(_fetcher=SimpleNamespace(_records={}))
    decode_as_records(client)
    error = client._fetcher._records[P0] = FetchError(error=ValueError(), backoff=0)  # noqa: SLF001
    assert list(client._fetcher._records.values()) == [error]  # noqa: SLF001
