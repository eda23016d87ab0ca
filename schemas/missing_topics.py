"""
Find out whether topics do not exist, or are only not known at the moment.

One answer of Kafka does not prove it. A broker that shuts down, or that the controller does not
count as alive yet, may list no brokers and no leaders; another one may not have learned of a new
topic yet; and aiokafka says that a topic is unknown if no broker has answered in time.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from schemas.kafka_names import KafkaName
from schemas.kafka_outage import ExplainedFailure

# A topic is missing if so many answers lack it, each of which lists brokers.
ANSWERS = 3
ANSWER_INTERVAL_S = 1.0
CONFIRMATION_S_MAX = 10.0


class TopicMissing(ExplainedFailure):
    """Kafka answers, but topics do not exist; the text names them, and the remedy."""


async def missing_topics(client: AIOKafkaClient, topics: Collection[KafkaName]) -> list[KafkaName]:
    """
    Return those of `topics` that none of ANSWERS answers has, within CONFIRMATION_S_MAX.

    A topic that the client may not describe counts as missing, too: Kafka does not list it.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer, or lists no broker.
    """
    missing = sorted(topics)
    async with asyncio.timeout(CONFIRMATION_S_MAX):
        for number in range(ANSWERS):
            if number:
                await asyncio.sleep(ANSWER_INTERVAL_S)
            # All topics: a broker may create a topic that is asked for by its name.
            existing = (await client.fetch_all_metadata()).topics()
            missing = [topic for topic in missing if topic not in existing]
            if not missing:
                break
    return missing


async def check_missing(client: AIOKafkaClient, topics: Collection[KafkaName]) -> None:
    """
    Return if no topic of `topics` is missing, see `missing_topics`.

    Raises:
        TopicMissing: some are missing.
        KafkaError, TimeoutError: Kafka does not answer, or lists no broker.
    """
    if missing := await missing_topics(client, topics):
        names = ", ".join(missing)
        raise TopicMissing(f"topic {names} does not exist; create it with: hookline topics apply")


@asynccontextmanager
async def unknown_topics_checked(
    client: AIOKafkaClient, topics: Collection[KafkaName]
) -> AsyncIterator[None]:
    """
    Find out what it means if the block fails because a topic is unknown; the block uses `topics`.

    Raises:
        TopicMissing: some of `topics` do not exist.
        KafkaError, TimeoutError: Kafka does not know them at the moment, or does not answer.
    """
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        await check_missing(client, topics)
        raise KafkaError(f"Kafka has not known topic {' or '.join(topics)} for a while") from error
