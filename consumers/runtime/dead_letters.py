"""Records that a consumer could not apply, written to the dead-letter topic as they were."""

import asyncio
import time

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumers.runtime.batch import Partition, Record
from consumers.runtime.handler import Rejected, Unavailable
from schemas.clients import kafka_failures, started
from schemas.dead_letter import Failure, failure_headers
from schemas.topics import DEAD_LETTERS

SET_ASIDE_S = 8.0


class KafkaDeadLetters:
    """
    Writes at least once: a crash between this and the sink's write sets the record aside again.

    A producer is made for each; most consumers never write one.
    """

    def __init__(self, *, bootstrap_servers: str, record_bytes_max: int, group: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._record_bytes_max = record_bytes_max
        self._group = group

    async def set_aside(
        self,
        partition: Partition,
        record: Record,
        reason: Rejected,
        *,
        attempts: int,
        first_failed_at_ms: int,
    ) -> None:
        """
        Return once the record is acknowledged by the dead-letter topic.

        Raises:
            Unavailable: it is not known to be there.
        """
        failure = Failure(
            topic=partition.topic,
            partition=partition.number,
            offset=record.offset,
            component=self._group,
            group=self._group,
            stage="TASK_PUT",
            exception=type(reason.__cause__ or reason).__name__,
            message=str(reason),
            attempts=attempts,
            first_failed_at_ms=first_failed_at_ms,
            last_failed_at_ms=time.time_ns() // 1_000_000,
        )
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            enable_idempotence=True,
            max_batch_size=self._record_bytes_max,
            max_request_size=self._record_bytes_max,
        )
        deadline = asyncio.get_running_loop().time() + SET_ASIDE_S
        try:
            # The time-out excludes the producer's end: by then the record is acknowledged.
            async with started(producer, SET_ASIDE_S), asyncio.timeout_at(deadline):
                with kafka_failures():
                    await producer.send_and_wait(
                        DEAD_LETTERS.name,
                        record.value,
                        key=record.key,
                        headers=[*record.headers, *failure_headers(failure)],
                    )
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"the dead-letter topic: {error!r}") from error
