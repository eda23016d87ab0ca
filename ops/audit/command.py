"""`hookline audit`: its options, its output and its exit code."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from ops.audit import output
from ops.audit.audit import ReadEnds, audit, collect_garbage_rarely
from ops.audit.ends_reader import read_ends
from ops.audit.report import Report
from ops.audit.since import Since
from ops.audit.sources import Sources
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics_api import read_token
from ops.audit.webhook_options import APPS, COMMANDS, LOGS, webhook_sources
from ops.options import (
    archive_option,
    base_url,
    bootstrap_option,
    bounded,
    ingress_option,
    json_option,
    postgres_option,
)
from ops.records.options import since_option
from ops.simulate import ledger
from ops.terminal import print_json, reader_may_leave, run, show, waiting
from schemas.kafka_access import KafkaAccess


@click.command("audit", short_help="Prove that every callback is in Kafka and in every sink.")
@bootstrap_option
@archive_option(required=True)
@postgres_option(
    "PostgreSQL connection string, as given to the sync consumer. Without it, the database is"
    " not audited.",
)
@click.option(
    "--stats",
    "stats_url",
    metavar="URL",
    envvar="OPS_STATS",
    show_envvar=True,
    help="Address of the statistics API, http://…. Without it, the counts are not audited.",
)
@click.option(
    "--stats-token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="OPS_STATS_TOKEN_FILE",
    show_envvar=True,
    help="File with one of the tokens of the statistics API, and nothing else. Needed if the API"
    " runs with STATS_TOKENS_FILE.",
)
@ingress_option
@click.option(
    "--spool",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The directory of the spools, if no ingress runs.",
)
@since_option(
    "Audit only callbacks that an ingress has stored since the beginning of the hour of TIME (UTC);"
    " the counts are not audited then."
)
@click.option(
    "--ledger",
    "ledger_paths",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="The ledger of the requests that `hookline simulate --ledger` sent. Repeat it for every"
    " run.",
)
@click.option(
    LOGS,
    "webhook_logs",
    metavar="NAME=FILE",
    multiple=True,
    help="The log of the receiver of the webhook NAME: a line for each request that it has"
    " accepted. Repeat it for every log and every webhook.",
)
@click.option(
    COMMANDS,
    "webhook_commands",
    metavar="NAME=A,B",
    multiple=True,
    help="The WEBHOOK_COMMANDS of the webhook NAME, if it has any.",
)
@click.option(
    APPS,
    "webhook_sdkappids",
    metavar="NAME=A,B",
    multiple=True,
    help="The WEBHOOK_SDKAPPIDS of the webhook NAME, if it has any.",
)
@click.option(
    "--wait",
    "wait_s",
    default=0.0,
    show_default=True,
    help="Seconds to wait for missing callbacks and for sources that do not answer.",
)
@json_option
def audit_command(
    *,
    kafka: KafkaAccess,
    archive_url: str,
    postgres: str | None,
    stats_url: str | None,
    stats_token_file: Path | None,
    admin_urls: tuple[str, ...],
    directory: Path | None,
    since: datetime | None,
    ledger_paths: tuple[Path, ...],
    webhook_logs: tuple[str, ...],
    webhook_commands: tuple[str, ...],
    webhook_sdkappids: tuple[str, ...],
    wait_s: float,
    as_json: bool,
) -> None:
    """
    Prove that every callback is in Kafka and in every sink exactly once.

    Kafka and the archive are always audited, PostgreSQL, the counts and webhooks only with
    --postgres, --stats and --webhook. The spools give the number of callbacks that there must be:
    name every running ingress (--ingress), or the directory of the spools if no ingress runs
    (--spool).

    \b
    Exit codes:
      0    everything is proven
      1    callbacks are missing, doubled, changed, or differ under one ce_id, or days of the
           statistics have other counts, or a webhook's target got an id that no callback has; a
           webhook may repeat
      2    a source could not be read, or the command line is wrong
      3    no fault found, but something is not known: the number of callbacks of an origin, or
           what a webhook's target has
      4    callbacks are in the dead-letter topic instead of a sink or all sinks
      70   the program failed, which is a bug
      130  interrupted
    """  # noqa: D301 - Click keeps the lines of a paragraph after \b
    bounded("--wait", wait_s, 0, 24 * 3600)
    stats = base_url("--stats", stats_url, "/v1/totals") if stats_url else None
    sources = Sources(
        kafka=kafka,
        archive=archive_url,
        postgres=postgres,
        stats=stats,
        stats_token=read_token(stats_token_file) if stats and stats_token_file else None,
        webhooks=webhook_sources(webhook_logs, webhook_sdkappids, webhook_commands),
    )
    urls = _ingress_urls(admin_urls, directory)
    collect_garbage_rarely()
    audited_since = _since(since, ledger_paths)

    async def ends() -> SpoolEnds:
        return await read_ends(urls, directory, audited_since)

    report = run(_audit(ends, sources, ledger_paths, wait_s))
    _print(report, as_json=as_json)
    sys.exit(report.exit_code)


def _print(report: Report, *, as_json: bool) -> None:
    with reader_may_leave():
        if as_json:
            print_json(report.as_dict())
        else:
            show(output.render(report))


def _ingress_urls(admin_urls: tuple[str, ...], directory: Path | None) -> list[str]:
    source = click.get_current_context().get_parameter_source("admin_urls")
    if directory is not None and source is ParameterSource.ENVIRONMENT:
        return []  # --spool means that no ingress runs, so OPS_INGRESS is not used
    if not admin_urls and directory is None:
        raise click.UsageError("name a running ingress (--ingress URL) or --spool DIRECTORY")
    return list(admin_urls)


def _since(since: datetime | None, ledger_paths: tuple[Path, ...]) -> Since | None:
    if since is None:
        return None
    if since > datetime.now(UTC):
        raise click.UsageError("--since is in the future; it is a time in UTC")
    if ledger_paths:
        raise click.UsageError(
            "--ledger and --since exclude each other: the entries of a ledger have no time"
        )
    return Since.the_hour_of(since)


async def _audit(
    ends: ReadEnds,
    sources: Sources,
    ledger_paths: tuple[Path, ...],
    wait_s: float,
) -> Report:
    with waiting("reading") as progress:
        return await audit(
            ends,
            sources,
            ledger=list(ledger.read_all(ledger_paths)),
            wait_s=wait_s,
            progress=progress,
        )
