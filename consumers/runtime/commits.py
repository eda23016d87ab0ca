"""Commit the group's offsets in the background, for lag tools and to notice an emptied sink."""

import asyncio
import logging
import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from schemas.client_parts import mark_retrieved
from schemas.clients import kafka_failures

log = logging.getLogger(__name__)

# aiokafka's search for the group's coordinator may never end after a broker's restart, while
# fetches succeed. A client that could not commit for this long is replaced.
FAILING_S_MAX = 20.0
COMMIT_TIMEOUT_S = 5.0
COMMIT_INTERVAL_S = 0.5


class Commits:
    """Commits the last noted offset of each partition, all partitions in one request."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._offsets_to_commit: dict[TopicPartition, int] = {}
        self._has_offsets = asyncio.Event()
        # The time at which commits began to fail, None if they succeed.
        self._failing_since: float | None = None

    def note(self, partition: TopicPartition, next_offset: int) -> None:
        """Commit `next_offset` soon."""
        self._offsets_to_commit[partition] = next_offset
        self._has_offsets.set()

    def forget(self) -> None:
        """Commit none of the noted offsets: the partitions are another member's."""
        self._offsets_to_commit.clear()
        self._failing_since = None

    def check(self, now: float) -> None:
        """
        Check that commits have not failed for too long.

        Raises:
            KafkaError: the client has to be replaced.
        """
        if self._failing_since is not None and now - self._failing_since > FAILING_S_MAX:
            raise KafkaError(f"no offset could be committed for {FAILING_S_MAX:g} s")

    async def run(self) -> None:
        """Commit noted offsets until cancelled. Failed commits are repeated with later offsets."""
        while True:
            await self._has_offsets.wait()
            self._has_offsets.clear()
            # Empty if the offsets were forgotten meanwhile.
            if offsets := dict(self._offsets_to_commit):
                await self._try_commit(offsets)
                await asyncio.sleep(COMMIT_INTERVAL_S)

    async def _try_commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            with kafka_failures():
                await self._commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.info("a partition has moved to another member: %r", error)
            self.forget()
        except (KafkaError, TimeoutError) as error:
            self._note_failure(error)
            self._has_offsets.set()
        else:
            self._failing_since = None
            for topic_partition, offset in offsets.items():
                if self._offsets_to_commit.get(topic_partition) == offset:
                    del self._offsets_to_commit[topic_partition]

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        # In a task, so that no time-out cancels it: aiokafka would not clean up after its request,
        # and asyncio would report an exception that was never retrieved.
        committing = asyncio.create_task(self._client.commit(dict(offsets)))
        committing.add_done_callback(mark_retrieved)  # this task may be cancelled meanwhile
        try:
            await asyncio.wait((committing,), timeout=COMMIT_TIMEOUT_S)
            if not committing.done():
                self._note_failure(TimeoutError())
                await asyncio.wait((committing,))
            committing.result()
        finally:
            committing.cancel()

    def _note_failure(self, error: Exception) -> None:
        if self._failing_since is None:
            log.info("offsets cannot be committed now; no record is affected: %r", error)
            self._failing_since = time.monotonic()
