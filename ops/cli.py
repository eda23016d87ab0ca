"""The `hookline` command."""

import sys
import traceback
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console
from rich.markup import escape

from ops import show
from ops.archive.command import archive
from ops.archive.maintenance import archive_expire, archive_parquet
from ops.audit.audit import audit
from ops.audit.ends import Ends, ask
from ops.audit.report import Report
from ops.audit.sources import Sources
from ops.demo.command import demo
from ops.simulate import ledger as senders
from ops.simulate.command import simulate
from ops.spool import spool
from ops.terminal import (
    BUG,
    FAULTS,
    INTERRUPTED,
    SET_ASIDE,
    UNPROVEN,
    archive_option,
    bootstrap_option,
    bounded,
    err,
    json_option,
    print_json,
    reader_may_leave,
    run,
)
from ops.topics import apply_topics
from schemas.settings import BODY_BYTES_LIMIT, Shared

postgres_option = click.option(
    "--postgres",
    envvar="SYNC_POSTGRES",
    show_envvar=True,
    help="The database that is synced to, as the consumer has it; not audited without.",
)
stats_option = click.option(
    "--stats",
    "stats_url",
    envvar="OPS_STATS",
    show_envvar=True,
    help="Address of the statistics API, http://…; counts are not audited without.",
)


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    }
)
@click.version_option(package_name="hookline")
def main() -> None:
    """
    Hookline takes Tencent Cloud IM callbacks and loses none.

    A callback that was answered OK is in every sink exactly once. `hookline demo` shows it on this
    machine; `hookline audit` proves it on yours.
    """


@main.group()
def topics() -> None:
    """The two Kafka topics."""


@topics.command("apply")
@bootstrap_option
@click.option(
    "--body-bytes-max",
    default=Shared().body_bytes_max,
    show_default=True,
    envvar="HOOKLINE_BODY_BYTES_MAX",
    show_envvar=True,
    help="The largest body that the ingress takes; sets max.message.bytes.",
)
@click.option("--replicas", default=1, show_default=True, help="Copies of a new topic.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A topic configuration beside ours, by Kafka's name; may be given again.",
)
@click.option(
    "--wait", "wait_s", default=30.0, show_default=True, help="Seconds to wait for Kafka to be up."
)
def topics_apply(
    *, kafka: str, body_bytes_max: int, replicas: int, configs: tuple[str, ...], wait_s: float
) -> None:
    """
    Create the topics, or set their configuration. Safe to run again.

    A single broker loses what it acknowledged last when its machine loses power; with --config
    flush.messages=1 it does not, and is slower.
    """
    if unclear := [config for config in configs if "=" not in config]:
        raise click.BadParameter(f"{unclear[0]} is not NAME=VALUE", param_hint="--config")
    bounded("--body-bytes-max", body_bytes_max, 1024, BODY_BYTES_LIMIT)
    bounded("--replicas", replicas, 1, 100)
    with err.status(f"asking Kafka at {kafka}"):
        applied = run(
            apply_topics(
                kafka,
                body_bytes_max=body_bytes_max,
                replicas=replicas,
                wait_s=wait_s,
                more_configs=dict(config.split("=", 1) for config in configs),
            )
        )
    for done in applied:
        click.echo(done)


@main.command("audit")
@bootstrap_option
@archive_option
@postgres_option
@stats_option
@click.option(
    "--ingress",
    "admin_urls",
    multiple=True,
    envvar="OPS_INGRESS",
    show_envvar=True,
    help="Admin address of a running ingress, http://…; may be given again.",
)
@click.option(
    "--spool",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The spool directory, where no ingress runs.",
)
@click.option(
    "--ledger",
    "ledger_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What the sender noted (`hookline simulate --ledger`).",
)
@click.option(
    "--wait", "wait_s", default=0.0, show_default=True, help="Seconds to wait for what is missing."
)
@json_option
def audit_command(
    *,
    kafka: str,
    archive_url: str,
    postgres: str | None,
    stats_url: str | None,
    admin_urls: tuple[str, ...],
    spool: Path | None,
    ledger_path: Path | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """
    Prove that every callback is in Kafka and in every sink exactly once.

    The archive is always audited, PostgreSQL and the counts where they are named; a sink that is
    not named is not proven. How many callbacks there must be is what the spools say: name every
    running ingress (--ingress), or the spool directory if none runs (--spool).

    Exits with 0 if all is proven; 1 if something is missing, doubled or changed, or if one ce_id
    has different contents; 4 if callbacks are in the dead-letter topic only, in place of a sink or
    of all sinks; 3 if the end of an origin, and so the number of its callbacks, is not known; 2 if
    it could not be audited; 70 if the program failed, which is a bug.
    """
    bounded("--wait", wait_s, 0, 24 * 3600)
    source = click.get_current_context().get_parameter_source("admin_urls")
    if spool is not None and source is ParameterSource.ENVIRONMENT:
        admin_urls = ()  # said on the command line, where no ingress runs
    if not admin_urls and spool is None:
        raise click.UsageError("name a running ingress (--ingress URL) or --spool DIRECTORY")
    urls = [url.rstrip("/").removesuffix("/status") for url in admin_urls]
    for option, url in (*(("--ingress", url) for url in urls), ("--stats", stats_url or "http://")):
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter("must begin with http:// or https://", param_hint=option)
    report = run(
        _audit(
            Sources(
                bootstrap_servers=kafka,
                archive=archive_url,
                postgres=postgres,
                stats=stats_url.rstrip("/").removesuffix("/v1/totals") if stats_url else None,
            ),
            urls=urls,
            spool=spool,
            ledger_path=ledger_path,
            wait_s=wait_s,
        )
    )
    with reader_may_leave():
        if as_json:
            print_json(report.as_dict())
        else:
            Console().print(show.report(report))
    if report.faults:
        sys.exit(FAULTS)
    if report.set_aside:
        sys.exit(SET_ASIDE)
    sys.exit(UNPROVEN if report.unproven else 0)


async def _audit(
    sources: Sources,
    *,
    urls: list[str],
    spool: Path | None,
    ledger_path: Path | None,
    wait_s: float,
) -> Report:
    async def ends() -> Ends:
        return await ask(urls, spool)

    with err.status("reading") as status:
        return await audit(
            ends,
            sources,
            ledger=list(senders.read(ledger_path)) if ledger_path else [],
            wait_s=wait_s,
            progress=lambda words: status.update(escape(words)),
        )


def command() -> None:
    """
    Run the command line.

    Python and Click exit with 1 after an exception or Ctrl-C, but 1 means a loss in an audit.
    """
    try:
        sys.exit(main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        err.print("interrupted")
        sys.exit(INTERRUPTED)
    except Exception:  # noqa: BLE001 - whatever it is, it must not look like a result
        traceback.print_exc()
        sys.exit(BUG)


main.add_command(demo)
main.add_command(simulate)
archive.add_command(archive_expire)
archive.add_command(archive_parquet)
main.add_command(archive)
main.add_command(spool)

if __name__ == "__main__":
    command()
