"""What a batch's records say, for handlers that look inside."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from consumers.runtime.batch import Batch
from consumers.runtime.handler import Rejected
from schemas.body import Malformed, parse
from schemas.event import Event, NotACallback, event


class Callback(NamedTuple):
    """A record's headers and its body as a JSON object."""

    event: Event
    document: dict[str, Any]


def callbacks(batch: Batch) -> Iterator[Callback]:
    """
    Yield the batch's callbacks, in order.

    Raises:
        Rejected: naming the first record that is none.
    """
    for record in batch.records:
        try:
            told = event(record.value, record.headers)
            document = parse(told.body)
        except (NotACallback, Malformed) as error:
            raise Rejected(record.offset, str(error)) from error
        yield Callback(told, document)
