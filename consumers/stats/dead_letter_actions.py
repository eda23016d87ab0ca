"""The actions on dead letters: what was sent again or dropped does not wait any more."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.dead_letter_actions import Actions, decoded

READ_S_MAX = 1.0


class ActionFollower:
    """All actions on the present dead-letter topic; each call of `follow` reads the new ones."""

    def __init__(self) -> None:
        self.actions = Actions("")
        self._next: dict[TopicPartition, int] = {}

    async def follow(
        self, reader: AIOKafkaConsumer, partitions: list[TopicPartition], topic_id: str
    ) -> bool:
        """
        Read `partitions` of the topic of actions to their ends, within READ_S_MAX.

        `topic_id` is the id of the dead-letter topic. Return whether all actions were read.

        Raises:
            KafkaError: Kafka does not answer.
        """
        begins = await reader.beginning_offsets(partitions) if partitions else {}
        ends = await reader.end_offsets(partitions) if partitions else {}
        is_other = any(self._next.get(one, 0) > ends[one] for one in partitions)
        if topic_id != self.actions.topic_id or is_other:
            self.actions, self._next = Actions(topic_id), {}
        self._next = {one: max(self._next.get(one, 0), begins[one]) for one in partitions}
        reading = [one for one in partitions if self._next[one] < ends[one]]
        if not reading:
            return True
        reader.assign(reading)
        for partition in reading:
            reader.seek(partition, self._next[partition])
        clock = asyncio.get_running_loop().time
        deadline = clock() + READ_S_MAX
        while left := [one for one in reading if self._next[one] < ends[one]]:
            if clock() >= deadline:
                return False
            for records in (await reader.getmany(*left, timeout_ms=200)).values():
                self.actions.add_all(filter(None, (decoded(each.value) for each in records)))
            # The position moves over the ends of transactions, too.
            self._next |= {one: await reader.position(one) for one in left}
        return True
