"""Ask Kafka for the last offsets of a member's partitions, in the background."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.outage_cause import OutageCause
from consumers.runtime.source import CALL_TIMEOUT_S
from schemas.client_parts import inner_client
from schemas.clients import check_cancellation, kafka_failures
from schemas.missing_topics import check_missing

ASK_INTERVAL_S = 5.0


class PartitionEnds:
    """Asks Kafka for the last offsets each ASK_INTERVAL_S, and logs when it does not answer."""

    def __init__(self, client: AIOKafkaConsumer, kafka_availability: KafkaAvailability) -> None:
        self._client = client
        self._kafka_availability = kafka_availability
        self._outage_cause = OutageCause(client)
        self._ends: Mapping[TopicPartition, int] = {}
        # Whether the client is a member of its group.
        self.is_member = False

    def cached_end_offset(self, partition: TopicPartition) -> int | None:
        """Return the last stable offset by Kafka's last answer, None before the first one."""
        return self._ends.get(partition)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            check_cancellation()
            try:
                with kafka_failures():
                    async with asyncio.timeout(CALL_TIMEOUT_S):
                        was_asked = await self._ask()
            except (KafkaError, TimeoutError) as error:
                self._kafka_availability.note_failure(await self._outage_cause.explained(error))
            else:
                if was_asked:
                    self._outage_cause.forget()
                    self._kafka_availability.note_answer()
            await asyncio.sleep(ASK_INTERVAL_S)

    async def _ask(self) -> bool:
        """
        Ask Kafka, unless the client is not in its group; return whether it was asked.

        Raises:
            KafkaError, TimeoutError: Kafka does not answer, or the topic does not exist.
        """
        if assigned := list(self._client.assignment()):
            self._ends = await self._client.end_offsets(assigned)
            return True
        await self._check_topics()
        # A member without partitions has no end to ask for, and would not notice an outage.
        if self.is_member and not await inner_client(self._client).force_metadata_update():
            raise KafkaError("Kafka does not answer")
        return self.is_member

    async def _check_topics(self) -> None:
        """
        Return if all topics of a member without partitions exist: the other members have them all.

        Raises:
            TopicMissing: a topic does not exist.
            TopicAuthorizationFailedError: the client may not see a topic.
            KafkaError, TimeoutError: Kafka does not answer.
        """
        if not self.is_member:
            return
        inner = inner_client(self._client)
        if denied := inner.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(denied)
        subscribed = self._client.subscription()
        if unknown := [each for each in subscribed if not inner.cluster.partitions_for_topic(each)]:
            await check_missing(inner, unknown)
