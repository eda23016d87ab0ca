"""Check the options of `hookline simulate`, alone and together, before anything is sent."""

from pathlib import Path
from urllib.parse import urlsplit

import click

from ops.options import bounded
from ops.simulate.options import is_on_command_line
from schemas.setting import is_sdkappid


def check_replay(replay: Path | None, order: str | None, speed: float | None) -> None:
    """
    Return if the options fit together.

    Raises:
        UsageError: they do not; the text says which.
    """
    if replay is None and (order or speed is not None):
        raise click.UsageError("--order and --speed are for recorded callbacks: give --replay FILE")
    if replay and is_on_command_line("users"):
        raise click.UsageError("--users is for made-up callbacks, not for --replay")
    if speed is not None:
        bounded("--speed", speed, 0.001, 1_000_000)
        if is_on_command_line("rate"):
            raise click.UsageError("give --rate or --speed, not both")
        if order not in (None, "time"):
            raise click.UsageError(f"--speed sends in the order of time, not of --order {order}")
    if replay is None and not click.get_current_context().params["sdkappids"]:
        raise click.UsageError("name the app of the made-up callbacks: --sdkappid SDKAPPID")


def check_traffic(
    urls: tuple[str, ...], apps: tuple[str, ...], *, rate: float, connections: int, users: int
) -> None:
    """
    Return if the other options are within their bounds.

    Raises:
        BadParameter: one is not; the text names the option and its bounds.
    """
    bounded("--rate", rate, 0.1, 100_000)
    bounded("--connections", connections, 1, 10_000)
    bounded("--users", users, 2, 10_000_000)
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter("must begin with http:// or https://", param_hint="--url")
        _check_host(url)
    if any("?" in url or "#" in url for url in urls):
        raise click.BadParameter(
            "must have no query (?…): simulate adds the parameters, as the vendor does; name the"
            " app by --sdkappid",
            param_hint="--url",
        )
    for app in apps:
        if not is_sdkappid(app):
            raise click.BadParameter(
                f"must be a decimal number without leading zeros, not {app!r:.40}",
                param_hint="--sdkappid",
            )


def _check_host(url: str) -> None:
    """
    Return if `url` has a host, and a port between 1 and 65535 or none.

    Raises:
        BadParameter: it does not.
    """
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise click.BadParameter(
            "must have a host, and a port from 1 to 65535 or none", param_hint="--url"
        )
