"""Send records that a consumer cannot apply to the dead-letter topic, unchanged."""

import asyncio
import logging
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from consumers.runtime.batch import Partition, Record
from consumers.runtime.brake import Brake
from consumers.runtime.handler import Rejected, Stopped
from consumers.runtime.source import KafkaUnavailable
from schemas.clients import started
from schemas.clock import now_ms
from schemas.dead_letter import DeadLetterReason, reason_headers
from schemas.kafka_access import KafkaAccess
from schemas.telemetry import CONSUMER_DEAD_LETTERS
from schemas.topics import DEAD_LETTERS, EXTENDED_RECORD_BYTES_LIMIT

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 8.0


class DeadLetters(Protocol):
    """The dead-letter topic as the runtime sees it."""

    async def send(
        self,
        partition: Partition,
        record: Record,
        rejected: Rejected,
        *,
        attempts: int,
        first_failed_at_ms: int,
    ) -> None:
        """
        Return once the record is in the dead-letter topic, unchanged, with the reason in headers.

        Raises:
            KafkaUnavailable: the record may or may not be there.
            Stopped: the topic takes no record of this size.
        """
        ...


async def reject(
    dead_letters: DeadLetters,
    brake: Brake,
    partition: Partition,
    record: Record,
    rejected: Rejected,
    *,
    attempts: int,
    first_failed_at_ms: int,
) -> None:
    """
    Return once the record is in the dead-letter topic, and `brake` and the metrics count it.

    Raises:
        Braked: the limit of rejected records is reached; nothing was sent.
        KafkaUnavailable: the record may or may not be there.
        Stopped: the topic takes no record of this size.
    """
    brake.check(str(rejected))
    await dead_letters.send(
        partition, record, rejected, attempts=attempts, first_failed_at_ms=first_failed_at_ms
    )
    # Only now: while the topic is away, the record is tried again and again.
    brake.note_rejected()
    CONSUMER_DEAD_LETTERS.inc()


class KafkaDeadLetters:
    """
    Sends each record at least once: after a crash before the sink's write it is sent again.

    Each call makes a producer of its own, because most consumers never send a record.
    """

    def __init__(
        self,
        *,
        kafka: KafkaAccess,
        record_bytes_max: int,
        group: str,
        topic: str = DEAD_LETTERS.name,
    ) -> None:
        self._kafka = kafka
        self._topic = kafka.topic(topic)
        self._record_bytes_max = record_bytes_max
        self._group = group

    async def send(
        self,
        partition: Partition,
        record: Record,
        rejected: Rejected,
        *,
        attempts: int,
        first_failed_at_ms: int,
    ) -> None:
        """
        Return once the dead-letter topic has acknowledged the record.

        Raises:
            KafkaUnavailable: the record may or may not be there.
            Stopped: the topic takes no record of this size.
        """
        where = self._kafka.topic(str(partition))
        failure = DeadLetterReason(
            topic=partition.topic,
            partition=partition.number,
            offset=record.offset,
            component=self._group,
            group=self._group,
            stage="TASK_PUT",
            exception=type(rejected.__cause__ or rejected).__name__,
            message=str(rejected),
            attempts=attempts,
            first_failed_at_ms=first_failed_at_ms,
            last_failed_at_ms=now_ms(),
        )
        try:
            await self._send(record, failure)
        except MessageSizeTooLargeError as error:
            raise Stopped(
                f"{self._topic} takes no record as large as the one at offset "
                f"{record.offset} of {where}. Run `hookline topics apply` with the "
                "HOOKLINE_BODY_BYTES_MAX of the ingress (of a topic of your own, raise "
                "max.message.bytes), then start the process again."
            ) from error
        except TimeoutError as error:
            raise KafkaUnavailable(
                f'the dead-letter topic "{self._topic}" does not exist, or no broker has taken the '
                f"record within {SEND_TIMEOUT_S:g} s; create the topic, or check its brokers"
            ) from error
        except KafkaError as error:
            raise KafkaUnavailable(f"the dead-letter topic {self._topic}: {error!r}") from error
        log.warning("offset %d of %s is a dead letter: %s", record.offset, where, rejected)

    async def _send(self, record: Record, failure: DeadLetterReason) -> None:
        producer = AIOKafkaProducer(
            **self._kafka.options(),
            enable_idempotence=True,
            max_batch_size=self._record_bytes_max,
            # The broker decides how large a record may be.
            max_request_size=EXTENDED_RECORD_BYTES_LIMIT,
        )
        deadline = asyncio.get_running_loop().time() + SEND_TIMEOUT_S
        # The time-out excludes the producer's shutdown: by then the record is acknowledged. A probe
        # would take longer than a rebalance waits for this; the member itself reports the cause.
        async with (
            started(producer, SEND_TIMEOUT_S, self._kafka, probes=False),
            asyncio.timeout_at(deadline),
        ):
            await producer.send_and_wait(
                self._topic,
                record.value,
                key=record.key,
                headers=[*record.headers, *reason_headers(failure)],
            )
