"""Read the actions on dead letters: a dead letter that was sent again or dropped is closed."""

from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition

from consumers.stats.bounded_read import read_until
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
        async with aclosing(read_until(reader, self._next, ends, s_max=READ_S_MAX)) as read:
            async for records in read:
                self.actions.add_all(filter(None, (decoded(each.value) for each in records)))
        return all(self._next[one] >= ends[one] for one in partitions)
