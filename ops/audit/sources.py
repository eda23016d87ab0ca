"""The sources that an audit reads, and the ways in which reading them fails."""

from dataclasses import dataclass
from pathlib import Path

from consumers.webhook.callback_filter import CallbackFilter
from ops.failure import Failure
from schemas.kafka_access import KafkaAccess
from schemas.setting import Secret


class AuditFailed(Failure):
    """A source that the proof needs cannot be read; the text names it."""


class SourceUnavailable(Exception):
    """A source does not answer now; the text names it. It may answer later."""


class ReadAgain(Exception):
    """All sources must be read again: one of them, or what is known of the ends, has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSource:
    """The target `name`: the callbacks that it wants, and the logs of its receivers."""

    name: str
    callback_filter: CallbackFilter
    logs: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """
    The addresses of all sources. A sink whose address is None is not audited.

    `stats_token` is one of the tokens of the statistics API, None if it needs none.
    """

    kafka: KafkaAccess
    archive: str
    postgres: str | None = None
    stats: str | None = None
    stats_token: Secret | None = None
    webhooks: tuple[WebhookSource, ...] = ()
