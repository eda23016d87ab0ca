"""Count the dead letters that wait, by sender and exception."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from consumers.stats.bounded_read import read_until
from schemas.dead_letter import CONNECT
from schemas.dead_letter_actions import Actions, RecordId
from schemas.printable import printable

# Of the dead letters that Kafka keeps, the last ones of each partition are counted.
COUNTED_OFFSETS_MAX = 5000
COUNT_S_MAX = 1.0
# The number of reasons that are counted apart; the others share one.
REASONS_MAX = 50
NAME_CHARACTERS_MAX = 60
OTHER = "other"
# Dead letters of this time are counted apart.
RECENT = timedelta(days=1)


class Cause(NamedTuple):
    """The sender of dead letters, a consumer or the ingress, and the name of the exception."""

    component: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """
    The dead letters in Kafka that were neither sent again nor dropped.

    `recent` are those of the last RECENT, `newest_at` is the time of the last one; both are None if
    the newest ones were not read within COUNT_S_MAX. `is_complete` is False if there may be more
    than these: the newest, or those before the last COUNTED_OFFSETS_MAX offsets of a partition.
    """

    counts: Mapping[Cause, int] = field(default_factory=dict)
    recent: int | None = 0
    newest_at: datetime | None = None
    is_complete: bool = True

    @property
    def total(self) -> int:
        """The number of waiting dead letters that were counted."""
        return sum(self.counts.values())

    @property
    def has_newest(self) -> bool:
        """Whether the newest dead letters were read, even if older ones were not."""
        return self.recent is not None


async def count_dead_letters(
    reader: AIOKafkaConsumer, partitions: Sequence[TopicPartition], actions: Actions
) -> DeadLetters:
    """
    Count those of the last dead letters that wait by `actions`, within COUNT_S_MAX.

    Raises:
        KafkaError: Kafka does not answer.
    """
    begins = await reader.beginning_offsets(partitions)
    ends = await reader.end_offsets(partitions)
    next_offsets = {one: max(begins[one], ends[one] - COUNTED_OFFSETS_MAX) for one in partitions}
    is_complete = begins == next_offsets
    counts: Counter[Cause] = Counter()
    recent, newest_ms = 0, 0
    recent_from_ms = (datetime.now(UTC) - RECENT).timestamp() * 1000
    async with aclosing(read_until(reader, next_offsets, ends, s_max=COUNT_S_MAX)) as read:
        async for records in read:
            for record in records:
                if not actions.is_open(RecordId(record.partition, record.offset)):
                    continue
                counts[_cause(record.headers, counts)] += 1
                recent += record.timestamp >= recent_from_ms
                newest_ms = max(newest_ms, record.timestamp)
    # The oldest are read first, so a read that ends too early says nothing about the newest.
    has_newest = all(next_offsets[one] >= ends[one] for one in partitions)
    newest_at = datetime.fromtimestamp(newest_ms / 1000, UTC) if newest_ms else None
    return DeadLetters(
        counts=dict(counts.most_common()),
        recent=recent if has_newest else None,
        newest_at=newest_at if has_newest else None,
        is_complete=is_complete and has_newest,
    )


def _cause(headers: Sequence[tuple[str, bytes]], known: Mapping[Cause, int]) -> Cause:
    values = dict(headers)
    cause = Cause(
        _text(values.get(CONNECT + "connector.name")),
        _text(values.get(CONNECT + "exception.class.name")),
    )
    # Other programs may write to the topic, with any headers.
    return cause if cause in known or len(known) < REASONS_MAX else Cause(OTHER, OTHER)


def _text(value: bytes | None) -> str:
    return printable(value, NAME_CHARACTERS_MAX) if value else OTHER
