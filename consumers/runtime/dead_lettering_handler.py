"""A handler that sends what it rejects to the dead-letter topic itself."""

from typing import Protocol, runtime_checkable

from consumers.runtime.brake import Brake
from consumers.runtime.handler import Handler


@runtime_checkable
class DeadLetteringHandler(Handler, Protocol):
    """
    A handler that sends the records that it rejects to the dead-letter topic itself.

    It also counts them in its `brake`, and the records that were applied there and in
    `consumer_records_total` and `consumer_bytes_total`; the runtime counts none.
    """

    brake: Brake
