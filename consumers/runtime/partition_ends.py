"""Ask Kafka for the last offsets of a member's partitions, in the background."""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime.batch import Partition
from consumers.runtime.kafka_outage_log import KafkaOutageLog
from consumers.runtime.source import CALL_S
from schemas.clients import kafka_failures

MEASURE_S = 5.0


class PartitionEnds:
    """Asks Kafka for the last offsets each MEASURE_S, and logs when it does not answer."""

    def __init__(self, client: AIOKafkaConsumer, outage_log: KafkaOutageLog) -> None:
        self._client = client
        self._outage_log = outage_log
        self._ends: Mapping[TopicPartition, int] = {}
        # Whether the client is a member of its group.
        self.is_member = False

    def end(self, partition: Partition) -> int | None:
        """Return the last stable offset by Kafka's last answer, None before the first one."""
        return self._ends.get(TopicPartition(*partition))

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            if assigned := list(self._client.assignment()):
                try:
                    with kafka_failures():
                        async with asyncio.timeout(CALL_S):
                            self._ends = await self._client.end_offsets(assigned)
                except (KafkaError, TimeoutError) as error:
                    self._outage_log.failed(error)
                else:
                    self._outage_log.answered()
            elif missing := self._missing_topics():
                self._outage_log.failed(KafkaError(missing))
            elif self.is_member:
                # Kafka has answered this member's request to join, and given it nothing.
                self._outage_log.answered()
            await asyncio.sleep(MEASURE_S)

    def _missing_topics(self) -> str:
        """
        Return an error text for a topic that does not exist, "" if all topics exist.

        If all topics exist, a member without partitions is idle: the other members have them all.
        """
        if not self.is_member:
            return ""
        cluster = self._client._client.cluster  # noqa: SLF001
        missing = [
            topic
            for topic in self._client.subscription()
            if not cluster.partitions_for_topic(topic)
        ]
        if not missing:
            return ""
        return f"topic {', '.join(missing)} does not exist; create it with: hookline topics apply"
