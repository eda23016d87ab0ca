"""The option `--postgres`, which several commands share."""

from collections.abc import Callable
from typing import Any

import click


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
