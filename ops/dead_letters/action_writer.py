"""Write to the topic of actions outside a transaction: for effects that may be repeated."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from ops.dead_letters.actions import action
from ops.dead_letters.letter import DeadLetter
from schemas.clients import started
from schemas.dead_letter_actions import ActionResult, Actions, encoded
from schemas.kafka_access import KafkaAccess
from schemas.topics import ACTIONS

START_S = 30.0
WRITE_S = 30.0


class ActionWriter:
    """Use `writing_actions`."""

    def __init__(
        self, producer: AIOKafkaProducer, kafka: KafkaAccess, actions: Actions, by: str
    ) -> None:
        self._producer = producer
        self._topic = kafka.topic(ACTIONS.name)
        self._actions = actions
        self._by = by

    async def write(
        self, letters: Sequence[DeadLetter], result: ActionResult, *, reason: str = ""
    ) -> None:
        """
        Return once Kafka has the action.

        Raises:
            KafkaError, TimeoutError: it may or may not have it.
        """
        taken = action(letters, result, by=self._by, topic_id=self._actions.topic_id, reason=reason)
        async with asyncio.timeout(WRITE_S):
            await self._producer.send_and_wait(self._topic, encoded(taken))
        self._actions.add(taken)


@asynccontextmanager
async def writing_actions(
    kafka: KafkaAccess, actions: Actions, by: str
) -> AsyncIterator[ActionWriter]:
    """
    Yield a writer; what it writes is also added to `actions`.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
    """
    producer = AIOKafkaProducer(**kafka.options(), enable_idempotence=True)
    async with started(producer, START_S, kafka):
        yield ActionWriter(producer, kafka, actions, by)
