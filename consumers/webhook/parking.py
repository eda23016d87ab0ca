"""Choose the callbacks of a batch that go to the retry topic. Does no I/O."""

from collections.abc import Iterable

from consumers.runtime.batch import Record
from consumers.webhook.batch_result import BatchResult, UndeliveredRecords
from consumers.webhook.retries import next_try_ms
from consumers.webhook.retry_record import ParkedCallback


def parked(result: BatchResult, next_offset: int, at_ms: int) -> list[ParkedCallback]:
    """Return the callbacks before `next_offset` that go to the retry topic, in order."""
    callbacks = [callback for each in result.undelivered for callback in _rest(each, at_ms)]
    callbacks += [_untried(record) for record in result.following]
    return sorted(
        (callback for callback in callbacks if callback.record.offset < next_offset),
        key=lambda callback: callback.record.offset,
    )


def _rest(undelivered: UndeliveredRecords, at_ms: int) -> Iterable[ParkedCallback]:
    """Yield a conversation's records from the first undelivered one on."""
    first, *others = undelivered.records
    if outcome := undelivered.outcome:
        yield ParkedCallback(first, 1, next_try_ms(1, outcome, at_ms), at_ms, outcome.reason)
    else:
        yield _untried(first)
    yield from map(_untried, others)


def _untried(record: Record) -> ParkedCallback:
    return ParkedCallback(record, 0, 0, 0, "")
