"""The records of a batch as callbacks, for handlers that need their content."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from consumers.runtime.batch import Batch
from consumers.runtime.handler import Rejected
from schemas.body import Malformed, parse
from schemas.callback_record import CallbackRecord, NotACallback, parse_callback_record


class Callback(NamedTuple):
    """A record's headers and its body as a JSON object."""

    record: CallbackRecord
    document: dict[str, Any]


def callbacks(batch: Batch) -> Iterator[Callback]:
    """
    Yield the batch's callbacks, in order.

    Raises:
        Rejected: with the offset of the first record that is not a callback.
    """
    for record in batch.records:
        try:
            callback_record = parse_callback_record(record.value, record.headers)
            document = parse(callback_record.body)
        except (NotACallback, Malformed) as error:
            raise Rejected(record.offset, str(error)) from error
        yield Callback(callback_record, document)
