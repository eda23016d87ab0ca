"""The options of `hookline audit` that name webhooks: NAME=VALUE, each of which may be repeated."""

from collections.abc import Sequence
from pathlib import Path

import click

from consumers.webhook.callback_filter import CallbackFilter
from consumers.webhook.settings import is_name
from ops.audit.sources import WebhookSource

LOGS, APPS, COMMANDS = "--webhook", "--webhook-sdkappids", "--webhook-commands"


def webhook_sources(
    logs: Sequence[str], sdkappids: Sequence[str], commands: Sequence[str]
) -> tuple[WebhookSource, ...]:
    """
    Return the targets that the options name.

    Raises:
        click.BadParameter: an option is not NAME=VALUE, or its target has no log.
    """
    files = _by_name(LOGS, logs)
    selected_apps, selected_commands = _lists(APPS, sdkappids), _lists(COMMANDS, commands)
    for option, by_name in ((APPS, selected_apps), (COMMANDS, selected_commands)):
        for name in by_name.keys() - files.keys():
            raise click.BadParameter(f"name the log of {name}, too ({LOGS})", param_hint=option)
    return tuple(
        WebhookSource(
            name=name,
            callback_filter=CallbackFilter(
                sdkappids=selected_apps.get(name, []), commands=selected_commands.get(name, [])
            ),
            # A file that is named twice is read once.
            logs=tuple(dict.fromkeys(map(Path, each))),
        )
        for name, each in files.items()
    )


def _by_name(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not value or not is_name(name):
            raise click.BadParameter(
                f"{text!r} is not NAME=…, with the WEBHOOK_NAME of a target", param_hint=option
            )
        values.setdefault(name, []).append(value)
    return values


def _lists(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    return {
        name: [part.strip() for value in values for part in value.split(",") if part.strip()]
        for name, values in _by_name(option, texts).items()
    }
