"""Options that several commands share, with the same names, variables and meanings."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

from ops.failure import Failure
from schemas.kafka_access import KafkaAccess, kafka_access
from schemas.settings import SettingsFaults, SharedSettings


class WrongAccess(Failure):
    """The settings of the access to Kafka cannot be used."""


def _kafka_access(context: click.Context, _: click.Parameter, servers: str) -> KafkaAccess:
    """
    Return the access to Kafka for a command.

    Raises:
        WrongAccess: HOOKLINE_KAFKA_* cannot be used.
    """
    service = "-".join(context.command_path.split()[1:]) or "command"
    try:
        return kafka_access(servers, os.environ).for_service(service)
    except SettingsFaults as faults:
        raise WrongAccess(
            f"the settings of Kafka cannot be used: {'; '.join(faults.args)}"
        ) from None


bootstrap_option = click.option(
    "--kafka",
    default=SharedSettings().bootstrap_servers,
    show_default=True,
    envvar="HOOKLINE_BOOTSTRAP_SERVERS",
    show_envvar=True,
    callback=_kafka_access,
    help="Kafka's address, host:port. Security and the names' prefix come from HOOKLINE_KAFKA_*.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")


def separated(values: Sequence[str]) -> list[str]:
    """Return the names in the values of a repeated option; a value may have several, by commas."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def base_url(option: str, url: str, path: str) -> str:
    """
    Return `url` without `path`, which people copy with it.

    Raises:
        BadParameter: it is not a URL of HTTP; the text names the option.
    """
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("must begin with http:// or https://", param_hint=option)
    return url.rstrip("/").removesuffix(path)


def _admin_urls(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(base_url("--ingress", url, "/status") for url in separated(values))


ingress_option = click.option(
    "--ingress",
    "admin_urls",
    metavar="URL",
    multiple=True,
    envvar="OPS_INGRESS",
    show_envvar=True,
    callback=_admin_urls,
    help="Admin address of a running ingress, http://… or https://…. Name every ingress: repeat the"
    " option, or separate the addresses by commas.",
)


def archive_option(
    help_text: str = "The archive: a directory, or s3://bucket/prefix, gs://…, az://….",
    *,
    required: bool = False,
) -> Callable[[Any], Any]:
    """Return the option of the archive's URL; its value is None without one."""
    return click.option(
        "--archive",
        "archive_url",
        metavar="URL",
        required=required,
        envvar="ARCHIVE_URL",
        show_envvar=True,
        help=help_text,
    )


def postgres_option(help_text: str, *, required: bool = False) -> Callable[[Any], Any]:
    """Return the option; its value is a connection string, or None without one."""
    return click.option(
        "--postgres",
        metavar="CONNINFO",
        required=required,
        envvar="SYNC_POSTGRES",
        show_envvar=True,
        callback=_checked,
        help=help_text,
    )


def _checked(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if not value:
        return None
    # Only now: psycopg takes 0.2 s to import.
    from consumers.sync.connection import is_conninfo  # noqa: PLC0415

    if not is_conninfo(value):
        # The error does not show the value, which may have a password.
        raise click.BadParameter(
            "it must be a connection string like postgresql://user:password@host:5432/database;"
            " percent-encode special characters of the password",
            param=option,
        )
    return value


def bounded(option: str, value: float, low: float, high: float) -> None:
    """
    Return if `value` is within the bounds of an option.

    Raises:
        BadParameter: it is not; the text names the option and its bounds.
    """
    if not low <= value <= high:
        raise click.BadParameter(f"must be from {low:,g} to {high:,.0f}", param_hint=option)
