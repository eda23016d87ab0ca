"""Keep the gauges of a webhook's metrics at the present values."""

import asyncio
import time

from consumers.webhook.circuit import Circuit
from consumers.webhook.handler import WebhookHandler
from schemas.callback_record import received_at_s
from schemas.telemetry import (
    WEBHOOK_CIRCUIT_OPEN,
    WEBHOOK_PARKED_CONVERSATIONS,
    WEBHOOK_PARKED_FILL,
    WEBHOOK_PARKED_OLDEST_S,
    WEBHOOK_PARKED_RECORDS,
)

MEASURE_INTERVAL_S = 1.0


async def keep_gauges(handler: WebhookHandler, circuit: Circuit) -> None:
    """Set the gauges each MEASURE_INTERVAL_S until cancelled."""
    while True:
        states = handler.states
        WEBHOOK_PARKED_RECORDS.set(sum(state.parked_records for state in states))
        WEBHOOK_PARKED_CONVERSATIONS.set(sum(state.parked_conversations for state in states))
        WEBHOOK_PARKED_FILL.set(max(map(handler.parked_max.fill, states), default=0.0))
        WEBHOOK_CIRCUIT_OPEN.set(circuit.is_open)
        # The oldest callback of a partition has the lowest offset, or nearly.
        oldest = [first for state in states if (first := state.oldest())]
        times = [at for each in oldest if (at := received_at_s(each.record.headers))]
        WEBHOOK_PARKED_OLDEST_S.set(max(0.0, time.time() - min(times)) if times else 0.0)
        await asyncio.sleep(MEASURE_INTERVAL_S)
