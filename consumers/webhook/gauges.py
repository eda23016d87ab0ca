"""Set the gauges of a webhook's metrics to the present values."""

import math
import time
from collections.abc import Callable, Sequence

from consumers.webhook.circuit import Circuit
from consumers.webhook.retry_state import RetryState
from schemas.callback_record import received_at_s
from schemas.telemetry import (
    WEBHOOK_CIRCUIT_OPEN,
    WEBHOOK_PARKED_CONVERSATIONS,
    WEBHOOK_PARKED_FAILING_S,
    WEBHOOK_PARKED_FILL,
    WEBHOOK_PARKED_OLDEST_S,
    WEBHOOK_PARKED_RECORDS,
)


def set_parked_gauges(
    states: Sequence[RetryState] | None, fill: Callable[[RetryState], float]
) -> None:
    """
    Set the gauges of parked callbacks; `states` are those of all partitions of this process.

    They are NaN if `states` is None: then this process does not know the retry topic's records.
    """
    known = states is not None
    states = states or ()
    for gauge, value in (
        (WEBHOOK_PARKED_RECORDS, sum(state.parked_records for state in states)),
        (WEBHOOK_PARKED_CONVERSATIONS, sum(state.parked_conversations for state in states)),
        (WEBHOOK_PARKED_FILL, max(map(fill, states), default=0.0)),
        (WEBHOOK_PARKED_OLDEST_S, _oldest_s(states)),
        (WEBHOOK_PARKED_FAILING_S, _failing_s(states)),
    ):
        gauge.set(value if known else math.nan)


def set_circuit_gauge(circuit: Circuit, *, in_group: bool) -> None:
    """Set the gauge of the circuit; nothing tries a target while this process is not in a group."""
    WEBHOOK_CIRCUIT_OPEN.set(1 if circuit.is_open else 0 if in_group else math.nan)


def _oldest_s(states: Sequence[RetryState]) -> float:
    """
    Return how long ago the first parked callback of a partition was received, the longest time.

    It is 0 if none is parked, NaN if it is not known. One that follows may have been received
    earlier: it was in a spool for longer.
    """
    oldest = [first for state in states if (first := state.oldest())]
    times = [at for each in oldest if (at := received_at_s(each.record.headers))]
    if not times:
        return math.nan if oldest else 0.0
    return max(0.0, time.time() - min(times))


def _failing_s(states: Sequence[RetryState]) -> float:
    """
    Return the time since the first failure of the callback that has failed for the longest time.

    It may have been received long before, for example if it waited in a spool.
    """
    times_ms = [at_ms for state in states if (at_ms := state.first_failed_at_ms())]
    return max(0.0, time.time() - min(times_ms) / 1000) if times_ms else 0.0
