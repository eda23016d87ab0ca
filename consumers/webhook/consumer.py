"""The consumer `webhook` as a process runs it: one target, whose name is part of the group."""

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

from consumers.runtime.batch import Limits
from consumers.runtime.brake import Brake
from consumers.runtime.dead_letters import KafkaDeadLetters
from consumers.runtime.handler import Consumer, Handler, RejectionSettings
from consumers.webhook.batch_delivery import BatchDelivery
from consumers.webhook.callback_filter import callback_filter
from consumers.webhook.circuit import Circuit
from consumers.webhook.handler import WebhookHandler
from consumers.webhook.parked_bounds import ParkedBounds
from consumers.webhook.rejections import Rejections
from consumers.webhook.retries import Retries
from consumers.webhook.retry_topic import RetryTopic
from consumers.webhook.sender import Sender, open_sender
from consumers.webhook.settings import WebhookSettings
from schemas.kafka_access import KafkaAccess
from schemas.settings import SettingsFaults, SharedSettings
from schemas.telemetry import CONSUMER_METRICS, WEBHOOK_METRICS
from schemas.tokens_file import UnusableFile
from schemas.topics import CALLBACKS, record_bytes_max

# Small, because a batch is delivered within seconds, and its position moves as a whole.
LIMITS = Limits(records=100, bytes=4 << 20, age_s=0.1)
# One of so many requests may be for callbacks in the retry topic.
RETRY_REQUESTS_DIVISOR = 4


@asynccontextmanager
async def open_handler(
    shared: SharedSettings,
    kafka: KafkaAccess,
    rejection_settings: RejectionSettings,
    settings: WebhookSettings,
) -> AsyncIterator[tuple[Handler, Limits]]:
    """
    Yield the handler of the target.

    Raises:
        SettingsFaults: the file of secrets cannot be used.
    """
    async with contextlib.AsyncExitStack() as opened:
        try:
            sender = await opened.enter_async_context(open_sender(settings))
        except UnusableFile as unusable:
            raise SettingsFaults(f"WEBHOOK_SECRETS_FILE: {unusable}") from unusable
        circuit = Circuit(_group(settings), time.monotonic)
        handler = _handler(
            shared, kafka, settings, sender, circuit, rejection_settings=rejection_settings
        )
        opened.push_async_callback(handler.close)
        yield handler, LIMITS


def _handler(
    shared: SharedSettings,
    kafka: KafkaAccess,
    settings: WebhookSettings,
    sender: Sender,
    circuit: Circuit,
    *,
    rejection_settings: RejectionSettings,
) -> WebhookHandler:
    largest = record_bytes_max(shared.body_bytes_max)
    kafka = kafka.for_service(_group(settings))
    retry_requests = max(1, settings.requests_max // RETRY_REQUESTS_DIVISOR)
    dead_letters = KafkaDeadLetters(
        kafka=kafka,
        record_bytes_max=largest,
        group=_group(settings),
        topic=rejection_settings.topic,
    )
    rejections = Rejections(dead_letters, Brake(rejection_settings.records_max))
    return WebhookHandler(
        RetryTopic(kafka=kafka, name=settings.name, record_bytes_max=largest),
        BatchDelivery(
            sender,
            circuit,
            rejections,
            requests_max=settings.requests_max - retry_requests,
            is_selected=callback_filter(sdkappids=settings.sdkappids, commands=settings.commands),
            clock=time.monotonic,
        ),
        Retries(sender, circuit, rejections, requests_max=retry_requests),
        ParkedBounds(records=settings.parked_records_max, bytes=settings.parked_bytes_max),
    )


def _group(settings: WebhookSettings) -> str:
    return f"webhook-{settings.name}"


def _open(_: WebhookSettings) -> AbstractAsyncContextManager[tuple[Handler, Limits]]:
    raise AssertionError("a webhook is opened as `configure` returns it")


def _configure(
    shared: SharedSettings,
    kafka: KafkaAccess,
    settings: WebhookSettings,
    rejection_settings: RejectionSettings,
) -> Consumer[WebhookSettings]:
    # /metrics of this process has them beside those of every consumer.
    CONSUMER_METRICS.register(WEBHOOK_METRICS)
    return replace(
        WEBHOOK,
        name=_group(settings),
        open=partial(open_handler, shared, kafka, rejection_settings),
    )


WEBHOOK = Consumer(
    name="webhook",
    topic=CALLBACKS,
    settings=WebhookSettings,
    open=_open,
    configure=_configure,
)
