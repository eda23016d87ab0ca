"""Find out why Kafka does not answer a member that runs."""

import time

from aiokafka import AIOKafkaConsumer

from schemas.client_parts import inner_client
from schemas.kafka_denials import denial_of
from schemas.kafka_outage import ExplainedFailure, KafkaUnreachable
from schemas.kafka_probe import why_unreachable

# In an outage, Kafka's addresses are tried again after this time: the cause may have changed.
PROBE_INTERVAL_S = 15.0


class OutageCause:
    """
    The cause of the outage that lasts.

    aiokafka keeps a member's connections: it logs why it cannot open them again, and raises only
    that Kafka does not answer.
    """

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._unreachable = ""
        self._probed_at: float | None = None

    async def explained(self, error: Exception) -> Exception:
        """Return the cause of `error` with what to do, or `error` itself if no cause is found."""
        if isinstance(error, ExplainedFailure):
            return error
        inner = inner_client(self._client)
        if denial := denial_of(error, inner):
            return denial
        now = time.monotonic()
        if self._probed_at is None or now - self._probed_at >= PROBE_INTERVAL_S:
            self._unreachable = await why_unreachable(inner, error)
            self._probed_at = time.monotonic()
        if not self._unreachable:
            return error
        unreachable = KafkaUnreachable(self._unreachable)
        unreachable.__cause__ = error
        return unreachable

    def forget(self) -> None:
        """Forget the cause: Kafka answers."""
        self._unreachable = ""
        self._probed_at = None
