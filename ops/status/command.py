"""`hookline status`: its options, its output and its exit code."""

import sys
from typing import Any

import click

from ops.options import (
    archive_option,
    bootstrap_option,
    json_option,
    postgres_option,
    separated,
)
from ops.terminal import run


def _urls(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from consumers.stats.addresses import is_admin_url  # noqa: PLC0415

    urls = tuple(separated(values))
    for url in urls:
        if not is_admin_url(url):
            raise click.BadParameter(f"{url} is not a URL like http://host:8081", param=option)
    return urls


def _url(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    urls = _urls(context, option, (value or "",))
    if len(urls) > 1:
        raise click.BadParameter("only one URL is allowed", param=option)
    return urls[0] if urls else None


def _valkey(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from consumers.counters.server import VALKEY_URL  # noqa: PLC0415

    if value and not VALKEY_URL.allows(value):
        raise click.BadParameter(f"it must be {VALKEY_URL.form}", param=option)
    return value or None


def _consumers(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> list[tuple[str, str]]:
    """Return the names and URLs in texts like NAME=URL,NAME=URL."""
    from consumers.stats.sink_findings import STAGES  # noqa: PLC0415

    named = [one.partition("=") for one in separated(values)]
    for name, _, url in named:
        if name not in STAGES:
            raise click.BadParameter(
                f"{name} is not a consumer; there are {', '.join(STAGES)}", param=option
            )
        _urls(context, option, (url,))
    return [(name, url) for name, _, url in named]


@click.command("status", short_help="Show whether every part is healthy, and what to do.")
@click.option(
    "--ingress",
    metavar="URL",
    multiple=True,
    envvar="STATS_INGRESS",
    show_envvar=True,
    callback=_urls,
    help="Admin ports of all replicas of the ingress, separated by commas or each by an option of"
    " its own. A name may stand for several replicas.",
)
@click.option(
    "--consumers",
    metavar="NAME=URL",
    multiple=True,
    envvar="STATS_CONSUMERS",
    show_envvar=True,
    callback=_consumers,
    help="Admin ports of the consumers, separated by commas or each by an option of its own:"
    " archive=http://…,sync=http://….",
)
@click.option(
    "--gateway",
    metavar="URL",
    envvar="STATS_GATEWAY",
    show_envvar=True,
    callback=_url,
    help="Port of the gateway that has /readyz, such as http://gateway:8404.",
)
@click.option(
    "--stats",
    "statistics",
    metavar="URL",
    envvar="OPS_STATS",
    show_envvar=True,
    callback=_url,
    help="Address of the statistics API.",
)
@bootstrap_option
@click.option(
    "--valkey",
    metavar="URL",
    envvar="STATS_VALKEY",
    show_envvar=True,
    callback=_valkey,
    help="The Valkey of the counts, for its size and whether it answers.",
)
@postgres_option("PostgreSQL connection string, for the size of the database.")
@archive_option("The archive, for its size. An object store is not measured.")
@click.option(
    "--tokens",
    is_flag=True,
    help="Show also when any replica of the ingress used each token last: whether an old one can be"
    " removed.",
)
@click.option(
    "--failures-by-sender",
    is_flag=True,
    help="Show also which addresses got an answer other than OK last, from any replica of the"
    " ingress, and why.",
)
@click.option("--watch", is_flag=True, help="Refresh the screen every 2 s until Ctrl-C.")
@json_option
def status(
    *,
    archive_url: str | None,
    tokens: bool,
    failures_by_sender: bool,
    watch: bool,
    as_json: bool,
    **parts: Any,
) -> None:
    """
    Show whether every part is healthy, how far each sink lags, and what fills the disks.

    It asks all parts concurrently and ends within 5 s, whichever of them does not answer. It
    changes nothing. The statistics page has the same findings in the same words.

    Exit codes: 0 healthy, 5 a part needs attention or cannot be asked, 6 a person must act; 2 the
    command line is wrong, 130 Ctrl-C.
    """
    # Only now: the clients of all parts take half a second to import, and --help needs none.
    from ops.status.ingress_tables import failure_table, token_table  # noqa: PLC0415
    from ops.status.measure import Parts  # noqa: PLC0415
    from ops.status.run import print_state  # noqa: PLC0415

    asked = Parts(archive=archive_url, **parts)
    tables = []
    if tokens:
        tables.append(token_table)
    if failures_by_sender:
        tables.append(failure_table)
    sys.exit(run(print_state(asked, watch=watch, as_json=as_json, tables=tables)))
