"""
Send dead letters of a webhook to its target again, by its retry topic.

The members of the webhook deliver what waits there, each conversation in order and later callbacks
after it. So this command needs neither the URL nor the secret. It claims a partition as a member
does; the member that had it claims it again within seconds, and continues.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from consumers.runtime.batch import Record
from consumers.runtime.handler import Stopped
from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.parked_bounds import ParkedBounds
from consumers.webhook.retry_partition import OwnershipLost, RetryPartition
from consumers.webhook.retry_record import ParkedCallback
from consumers.webhook.retry_topic import RetryTopic, retry_topic
from consumers.webhook.settings import WebhookSettings
from ops.dead_letters.action_writer import ActionWriter
from ops.dead_letters.letter import DeadLetter
from ops.dead_letters.targets import WEBHOOK_PREFIX, ResendCounts
from ops.failure import Failure
from ops.records.committed_records import reader_of_existing
from schemas.clock import now_ms
from schemas.dead_letter_actions import ActionResult
from schemas.kafka_access import KafkaAccess
from schemas.settings import SettingsFaults, read_fields
from schemas.topics import EXTENDED_RECORD_BYTES_LIMIT, RECORD_OVERHEAD_BYTES

# A member that has work claims its partition again soon, perhaps before anything was written.
CLAIMS_MAX = 20
# The reason of a parked callback that this command has parked, until its next failed attempt.
SENT_AGAIN = "sent again by hookline dead-letters"


class NotParked(Failure):
    """Dead letters were not written to the retry topic; the text says why."""


class Parked(NamedTuple):
    """The dead letters whose callbacks are parked, and whether others found no room."""

    letters: list[DeadLetter]
    is_full: bool


class ToWebhook:
    """Use `sending_to_webhook`."""

    def __init__(self, topic: RetryTopic, writer: ActionWriter, parked_max: ParkedBounds) -> None:
        self._topic = topic
        self._writer = writer
        self._parked_max = parked_max

    async def send(self, letters: Sequence[DeadLetter]) -> ResendCounts:
        """
        Park callbacks that the target has refused, and note the actions.

        A callback that waits in the retry topic already is not parked again, but its action is
        noted: the command may have been killed before it did so. A callback that the webhook has
        not reached yet is skipped: a member delivers it, or the target refuses it again. So is a
        dead letter without a source, which the retry topic could not order.

        Raises:
            NotParked: some may have been parked; to send all of them again repeats them at most.
                It is also raised if not all have room in the retry topic, after others were parked.
            KafkaError, TimeoutError: an action may not have been noted.
        """
        by_partition: defaultdict[int, list[DeadLetter]] = defaultdict(list)
        for letter in letters:
            if letter.source is not None:
                by_partition[letter.source.partition].append(letter)
        resent = 0
        full: list[str] = []
        for number, some in by_partition.items():
            parked = await self._park(number, some)
            if parked.letters:
                await self._writer.write(parked.letters, ActionResult.RESENT)
                resent += len(parked.letters)
            if parked.is_full:
                full.append(f"{self._topic.topic}/{number}")
        if full:
            raise NotParked(
                f"as many callbacks as allowed wait in {', '.join(full)}, so some dead letters were"
                " not sent; run the command again when the target has got some of the callbacks."
                " The limits are WEBHOOK_PARKED_RECORDS_MAX and WEBHOOK_PARKED_BYTES_MAX"
            )
        return ResendCounts(resent=resent, skipped=len(letters) - resent)

    async def _park(self, number: int, letters: Sequence[DeadLetter]) -> Parked:
        """Park the callbacks of a partition for which there is room."""
        for _ in range(CLAIMS_MAX):
            try:
                async with self._topic.claim(number) as claimed:
                    return await _park(claimed, letters, self._parked_max)
            except OwnershipLost:
                continue
            except (KafkaUnavailable, Stopped) as error:
                raise NotParked(f"{error}; run the command again, it continues") from error
        raise NotParked(
            f"members of the webhook claim {self._topic.topic}/{number} all the time; run the"
            " command again, or stop them meanwhile"
        )


async def _park(
    claimed: RetryPartition, letters: Sequence[DeadLetter], parked_max: ParkedBounds
) -> Parked:
    position = claimed.state.position
    if position is None:
        raise NotParked(
            f"the webhook has not begun in partition {claimed.number}, where dead letter"
            f" {letters[0].id} comes from; start it first"
        )
    taken: list[DeadLetter] = []
    parked: dict[int, ParkedCallback] = {}
    is_full = False
    for letter in letters:
        assert letter.source is not None  # noqa: S101 - the caller has checked it
        offset = letter.source.offset
        if offset >= position.next_offset:
            continue
        if claimed.state.parked(offset) is None and offset not in parked:
            records = [each.record for each in parked.values()]
            if parked_max.fill(claimed.state, also=records) >= 1:
                is_full = True
                continue
            parked[offset] = _parked(letter, offset)
        taken.append(letter)
    if parked:
        await claimed.write(list(parked.values()))
    return Parked(taken, is_full)


def _parked(letter: DeadLetter, offset: int) -> ParkedCallback:
    at_ms = now_ms()
    return ParkedCallback(
        record=Record(offset, letter.at_ms, letter.key, letter.value, tuple(letter.headers)),
        attempts=0,
        next_try_ms=at_ms,
        # By this time, members distinguish it from the same callback when it was parked before.
        failed_or_resent_at_ms=at_ms,
        reason=SENT_AGAIN,
    )


@asynccontextmanager
async def sending_to_webhook(
    kafka: KafkaAccess, consumer: str, writer: ActionWriter, env: Mapping[str, str]
) -> AsyncIterator[ToWebhook]:
    """
    Yield the retry topic of a webhook, `webhook-NAME`, as a target.

    `env` may have the webhook's settings WEBHOOK_PARKED_RECORDS_MAX and WEBHOOK_PARKED_BYTES_MAX.

    Raises:
        NotParked: the value of one of the settings is not allowed.
        TopicMissing: the webhook has never run.
        KafkaError, TimeoutError: Kafka does not answer.
    """
    parked_max = _parked_max(env)
    name = consumer.removeprefix(WEBHOOK_PREFIX)
    # A claim would create the topic of a webhook that does not exist.
    async with reader_of_existing(kafka, retry_topic(name)):
        pass
    topic = RetryTopic(
        kafka=kafka,
        name=name,
        record_bytes_max=EXTENDED_RECORD_BYTES_LIMIT - RECORD_OVERHEAD_BYTES,
    )
    yield ToWebhook(topic, writer, parked_max)


def _parked_max(env: Mapping[str, str]) -> ParkedBounds:
    """Return the bounds that the webhook's processes have if their variables are in `env`."""
    names = ("parked_records_max", "parked_bytes_max")
    try:
        values = read_fields(WebhookSettings, "WEBHOOK_", env, names)
    except SettingsFaults as faults:
        raise NotParked("; ".join(faults.args)) from None
    return ParkedBounds(records=values["parked_records_max"], bytes=values["parked_bytes_max"])
