"""The first record that a group has not read, on a broker that answers and on a frozen one."""

import secrets
import signal
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.processes.ingress import until

from consumers.stats.first_unread import FirstUnread, first_unread
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.clients import started

LONG_S = 180.0
SHORT_S = 0.3


async def test_the_third_answer_is_that_it_is_not_known(own_kafka: EmbeddedKafka) -> None:
    """Neither that all is read, nor the time of the partitions that answered alone."""
    kafka = plaintext(own_kafka.address)
    name = f"unread-{secrets.token_hex(4)}"
    first, second = (TopicPartition(name, number) for number in range(2))
    await _write(own_kafka.address, name)
    options = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    reader = AIOKafkaConsumer(**kafka.options(), **options, enable_auto_commit=False)
    async with started(reader, LONG_S, kafka):
        ends: dict[TopicPartition, int] = {}

        async def has_ends() -> bool:
            # Each partition has three records and the end of their transaction.
            ends.update(await reader.end_offsets([first, second]))
            return ends == {first: 4, second: 4}

        await until(has_ends, "both transactions are complete")
        all_unread = await first_unread(reader, {first: 1, second: 2}, ends, s_max=LONG_S)
        assert all_unread.is_complete
        assert all_unread.since is not None
        assert abs(all_unread.since.timestamp() - (time.time() - 3600)) < 1800
        # Only the ends of the transactions follow, so no record ever comes.
        positions = {first: 3, second: 3}
        assert await first_unread(reader, positions, ends, s_max=LONG_S) == FirstUnread(
            None, is_complete=True
        )

        async def is_partly_known() -> bool:
            # The second partition never has the records that it is asked for.
            missing = {**ends, second: 9}
            some = await first_unread(reader, {first: 1, second: 3}, missing, s_max=SHORT_S)
            assert not some.is_complete
            return some.since == all_unread.since

        await until(is_partly_known, "the first partition has answered in time")
        assert own_kafka.process is not None
        own_kafka.process.send_signal(signal.SIGSTOP)
        try:
            frozen = await first_unread(reader, {first: 0, second: 0}, ends, s_max=SHORT_S)
        finally:
            own_kafka.process.send_signal(signal.SIGCONT)
        assert frozen == FirstUnread(None, is_complete=False)


async def _write(address: str, topic: str) -> None:
    """Write three records to each of two partitions; those of the first one are of an hour ago."""
    async with admin_client(address) as admin:
        await admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
    now_ms = int(time.time() * 1000)
    async with (
        AIOKafkaProducer(bootstrap_servers=address, transactional_id=topic) as producer,
        producer.transaction(),
    ):
        for partition, age_ms in ((0, 3_600_000), (1, 0)):
            for _ in range(3):
                await producer.send(topic, b"x", partition=partition, timestamp_ms=now_ms - age_ms)
