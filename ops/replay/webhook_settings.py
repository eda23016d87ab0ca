"""The settings of a webhook that gets callbacks again."""

import os

from consumers.webhook.settings import WebhookSettings
from ops.replay.target import CannotReplay
from schemas.settings import SettingsFaults, read_settings


def webhook_settings(consumer: str) -> WebhookSettings:
    """
    Return the settings of the webhook `consumer`, from WEBHOOK_* as for its process.

    Raises:
        CannotReplay: they cannot be used, or are those of another target.
    """
    settings: WebhookSettings
    try:
        (settings,) = read_settings({"WEBHOOK_": WebhookSettings}, os.environ)
    except SettingsFaults as faults:
        raise CannotReplay(
            f"set the variables WEBHOOK_* as for the process of {consumer}:"
            f" {'; '.join(faults.args)}"
        ) from None
    if consumer != f"webhook-{settings.name}":
        raise CannotReplay(f"WEBHOOK_NAME is {settings.name}, so name webhook-{settings.name}")
    return settings
