"""`hookline find`: its options, its output and its exit code."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ops.find import output
from ops.find.question import KINDS, NotAnId, Question, kind_of, moment, question_of
from ops.find.ranges import FindRequest
from ops.find.search import Answer, Search
from ops.find.sources import Sources
from ops.options import (
    archive_option,
    bootstrap_option,
    bounded,
    ingress_option,
    json_option,
    postgres_option,
)
from ops.records.options import (
    ACCOUNTS_MAX,
    app_option,
    group_option,
    since_option,
    until_option,
    users_option,
)
from ops.terminal import echo, print_json, reader_may_leave, run, say, waiting
from schemas.kafka_access import KafkaAccess

LIMIT_MAX = 1000


@click.command("find", short_help="Show where a callback is, in each place that may have it.")
@click.argument("text", metavar="[ID]", required=False)
@click.option(
    "--as", "kind", type=click.Choice(KINDS), help="Take ID for this. Without it, its form decides."
)
@users_option
@group_option
@app_option
@click.option("--at", metavar="TIME", help="Received in this day, hour, minute or second (UTC).")
@since_option("First time to search, by Kafka's time (UTC).")
@until_option("Exclusive end of the search, by Kafka's time (UTC).")
@click.option("--limit", default=20, show_default=True, help="Callbacks that are shown.")
@click.option("--body", "with_body", is_flag=True, help="Show bodies: private messages of people.")
@bootstrap_option
@click.option("--no-kafka", is_flag=True, help="Do not ask Kafka.")
@archive_option()
@postgres_option("PostgreSQL connection string, as given to the sync consumer.")
@click.option(
    "--counters",
    metavar="URL",
    envvar="COUNTERS_VALKEY",
    show_envvar=True,
    help="The Valkey of the counters.",
)
@ingress_option
@click.option(
    "--spool",
    type=click.Path(exists=True, file_okay=False),
    envvar="INGRESS_SPOOL_DIR",
    show_envvar=True,
    help="The directory of the spools. Those that an ingress holds are not read.",
)
@click.option(
    "--timeout",
    "timeout_s",
    default=120.0,
    show_default=True,
    help="Seconds for each source to answer.",
)
@json_option
def find(
    *,
    text: str | None,
    kind: str | None,
    users: tuple[str, ...],
    group: str | None,
    app: str | None,
    at: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    with_body: bool,
    kafka: KafkaAccess,
    no_kafka: bool,
    archive_url: str | None,
    postgres: str | None,
    counters: str | None,
    admin_urls: tuple[str, ...],
    spool: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """
    Show where a callback is: in the spools, Kafka, the archive, PostgreSQL, the counts.

    ID is a message's key (MsgKey) or id, the ce_id of a callback, its ORIGIN/SEQUENCE, an account,
    a group (@TGS#...) or a time (UTC). Its form decides which; the first line of the output says
    what it was taken for, and --as overrules it. All conditions that are given must hold.

    \b
    Examples:
      hookline find 48374_2837546_1557481126
      hookline find 3f2504e04f8911d39a0c0305e82c3301 --body
      hookline find 00ff00ff00ff00ff/12
      hookline find jared --since 2026-01-31T09 --until 2026-01-31T12
      hookline find --user jared --user Jonh --at 2026-01-31T09:05
      hookline find 8611111111111 --as user

    A source that is not named, or does not answer, is listed as not searched. Bodies are private
    messages: only their size and the types of their elements are shown, without --body.

    By default records are searched that Kafka took from the hour of sending, or of receipt, until
    six hours after it; a callback without a time in the last 24 hours. A record that waited longer
    on the disk of an ingress is found with --until.

    \b
    Exit codes:
      0    found
      1    not found, and every source was searched in the range that the output names
      2    no source could be searched, or the command line is wrong
      3    not found in what was searched; the output says what was not, and why
      4    found, but only as a dead letter
      70   the program failed, which is a bug
      130  interrupted
    """  # noqa: D301 - Click keeps the lines of a paragraph after \b
    bounded("--limit", limit, 1, LIMIT_MAX)
    bounded("--timeout", timeout_s, 1, 24 * 3600)
    request = FindRequest(
        question=_question(text, kind, users=users, app=app, group=group, at=at),
        since=since,
        until=until,
        now=datetime.now(UTC),
        limit=limit,
        keeps_bodies=with_body,
        timeout_s=timeout_s,
    )
    if request.since and request.until and request.since >= request.until:
        raise click.UsageError("--since must be before --until")
    if request.since and request.since > request.now:
        raise click.UsageError("--since is in the future")
    sources = Sources(
        kafka=None if no_kafka else kafka,
        archive=archive_url,
        postgres=postgres,
        counters=counters,
        ingresses=admin_urls,
        spool=Path(spool) if spool else None,
    )
    say(f"looking for {request.question}")
    answer = run(_find(request, sources))
    _print(answer, as_json=as_json, with_body=with_body)
    sys.exit(answer.exit_code)


def _question(
    text: str | None, kind: str | None, *, users: tuple[str, ...], app: str | None, **also: Any
) -> Question:
    """Return the question of the command line; `also` has the options of a group and a time."""
    group, at = also["group"], also["at"]
    try:
        question = question_of(text, kind or kind_of(text), app=app) if text else Question(app=app)
        if at:
            question = replace(question, at=moment(at))
    except NotAnId as error:
        raise click.UsageError(str(error)) from error
    if group and question.group:
        raise click.UsageError("name one group")
    question = replace(
        question, accounts=(*question.accounts, *users), group=group or question.group
    )
    if len(question.accounts) > ACCOUNTS_MAX:
        raise click.UsageError("name at most two users")
    if not str(replace(question, app=None)):
        raise click.UsageError("name an ID, or --user, --group or --at; see hookline find --help")
    return question


async def _find(request: FindRequest, sources: Sources) -> Answer:
    with waiting("searching") as progress:
        return await Search(request, sources, progress).run()


def _print(answer: Answer, *, as_json: bool, with_body: bool) -> None:
    now = datetime.now(UTC)
    with reader_may_leave():
        if as_json:
            print_json(output.as_dict(answer, now=now))
        else:
            for line in output.lines(answer, now=now, with_body=with_body):
                echo(line)
