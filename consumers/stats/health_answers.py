"""The answer of /v1/health, as a type: the state of each stage of the pipeline."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from consumers.stats.answers import Number, Time

StageName = Literal[
    "gateway",
    "receiving",
    "on_disk",
    "kafka",
    "archive",
    "database",
    "counts",
    "webhook",
    "dead_letters",
    "statistics",
]
State = Literal["ok", "warning", "wrong", "unknown"]
Unit = Literal["replicas", "callbacks", "seconds", "records"]


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A text in both languages of the page."""

    en: str
    zh: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One stage of the pipeline. `since` is when its state began, null if that is not known.

    `number` is that of the `replicas` that are ready for callbacks (of `of`, all of them), of the
    `callbacks` that wait on disk, the lag in `seconds`, or that of the dead letters in Kafka,
    `records`. The lag of Kafka is the time since the receipt of the oldest callback on disk, that
    of a sink is for how long the oldest callback that it lacks has been in Kafka. Each target of a
    webhook is a sink: the stage is that of the worst one. The number and its unit are null if it is
    not known; `of` is null for all other units.
    """

    stage: StageName
    state: State
    number: Annotated[float, Meta(ge=0)] | None
    of: Number | None
    unit: Unit | None
    since: Time | None
    what: Words
    what_to_do: Words
    runbook: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/health, and the data of the event `health` of /v1/live."""

    state: Literal["ok", "warning", "wrong"]
    stages: list[Stage]
