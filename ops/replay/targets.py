"""Which consumers callbacks can be replayed to, and opening the one that is named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.replay.selection import ReplaySelection
from ops.replay.target import CannotReplay, ReplayTarget
from ops.replay.to_sync import replaying_to_sync
from ops.replay.to_webhook import replaying_to_webhook
from ops.replay.webhook_settings import webhook_settings
from schemas.kafka_access import KafkaAccess
from schemas.topics import CALLBACKS

SYNC = "sync"
WEBHOOK = "webhook-"


def check_can_replay(consumer: str) -> None:
    """
    Check that callbacks can be replayed to `consumer`.

    Raises:
        CannotReplay: they cannot; the text says what to do.
    """
    if consumer == SYNC:
        return
    if consumer.startswith(WEBHOOK):
        webhook_settings(consumer)
        return
    if consumer == "archive":
        raise CannotReplay(
            "the archive needs no replay: it is what others are replayed from, and a chain without"
            " gaps. Check it with hookline archive verify; docs/backup.md says how to restore it"
        )
    if consumer == "counters":
        raise CannotReplay(
            "callbacks cannot be replayed to the counters: those that are counted would be counted"
            " twice. Count all of them again, in one step: hookline counters rebuild"
        )
    raise CannotReplay(
        f"{consumer!r} is not a consumer that callbacks can be replayed to: name `sync` or"
        " `webhook-NAME`. A consumer of another project reads the topic, or the archive, again by"
        " itself"
    )


@asynccontextmanager
async def opening_target(
    consumer: str,
    selection: ReplaySelection,
    *,
    kafka: KafkaAccess,
    topic_id: str | None,
    postgres: str | None,
) -> AsyncIterator[ReplayTarget]:
    """
    Yield the consumer as a target of the replay of a selection.

    `topic_id` is the id of the topic that is replayed. None: it is unknown, or the archive is
    replayed, which may also have records of earlier topics.

    Raises:
        Failure: it cannot be used; the text says what to do.
    """
    if consumer == SYNC:
        async with replaying_to_sync(postgres or "", selection.digest) as database:
            database.check_topic(kafka.topic(CALLBACKS.name), topic_id)
            yield database
    else:
        async with replaying_to_webhook(kafka, consumer, selection.digest) as webhook:
            yield webhook
