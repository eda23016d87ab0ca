"""`hookline topics`. ops/topic_changes.py and ops/acls/apply.py do the work."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ops.acls.apply import apply_acls, planned_acls
from ops.acls.other_pipelines import check_others
from ops.acls.table import AclTable, UnusableTable, read_table
from ops.options import bounded
from ops.terminal import echo, run, waiting
from ops.topic_changes import Mode, apply_wanted
from ops.topic_options import wanted_options
from ops.topic_plan import WantedTopic
from schemas.kafka_access import KafkaAccess
from schemas.settings import BODY_BYTES_LIMIT
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS, RECORD_OVERHEAD_BYTES, Topic


@click.group()
def topics() -> None:
    """Create and configure the Kafka topics, and their ACLs."""


@topics.command("plan")
@wanted_options
def topics_plan(**options: Any) -> None:
    """
    Print what `apply` with the same options would do, and do nothing.

    With --acls, that is also each ACL to create, each one to remove, and how many are of others.
    """
    _apply(**options, create_only=False, dry_run=True)


@topics.command("apply")
@wanted_options
@click.option("--create-only", is_flag=True, help="Create what is missing; change no topic.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, as `plan` does.")
def topics_apply(**options: Any) -> None:
    """
    Create the topics, or change their configuration. Safe to run again.

    A topic that exists keeps its partitions and its retention unless other ones are given, and all
    configurations that are not Hookline's. Each difference is printed, old -> new. --dry-run only
    prints them, --create-only never changes an existing topic; docker compose runs it.

    Refused are fewer partitions, which Kafka cannot do, and without --allow-record-deletion what
    makes Kafka delete records. With more partitions, keys move: later callbacks of a conversation
    may be in another partition, and so be read before its earlier ones.

    With --acls, the ACLs that the file wants are created, too. Only with --allow-delete are ACLs
    removed, and only those that an earlier apply made and the file does not want any more.

    A single broker whose machine loses power loses the records that it acknowledged last. With
    --config flush.messages=1 it does not, but is slower.
    """
    _apply(**options)


def _apply(
    *,
    kafka: KafkaAccess,
    replicas: int,
    acls_file: Path | None,
    allow_delete: bool,
    create_only: bool,
    dry_run: bool,
    allow_record_deletion: bool,
    wait_s: float,
    **of_topics: Any,
) -> None:
    bounded("--replicas", replicas, 1, 100)
    if allow_delete and (acls_file is None or create_only):
        raise click.UsageError("--allow-delete needs --acls, and excludes --create-only")
    # Read the file first: a fault in it must not leave half of the work done.
    table = None if acls_file is None else read_table(acls_file, kafka)
    acls = None if table is None else table.entries(kafka)
    if allow_delete and not acls:
        raise UnusableTable(
            f"{acls_file} names no principal, so --allow-delete would remove every ACL that was"
            " made, and stop every service: check the file, or remove them by kafka-acls.sh"
        )
    check = partial(check_others, table, kafka) if table else None
    wanted = [
        *_wanted(**of_topics),
        *(_of_others(table, of_topics["body_bytes_max"]) if table else ()),
    ]
    mode = Mode(
        creates_only=create_only, is_dry_run=dry_run, allows_record_deletion=allow_record_deletion
    )
    with waiting(f"asking Kafka at {kafka}"):
        lines = run(
            apply_wanted(kafka, wanted, mode, replicas=replicas, wait_s=wait_s, check=check)
        )
    for line in lines:
        echo(line)
    if acls is None:
        return
    work = (
        planned_acls(kafka, acls)
        if dry_run
        else apply_acls(kafka, acls, allows_deletion=allow_delete, replicas=replicas)
    )
    with waiting(f"asking Kafka at {kafka} for ACLs"):
        plan = run(work)
    for line in plan.lines(is_dry_run=dry_run, allows_deletion=allow_delete):
        echo(line)


def _wanted(
    *, body_bytes_max: int, configs: tuple[str, ...], **of_topics: Any
) -> list[WantedTopic]:
    bounded("--body-bytes-max", body_bytes_max, 1024, BODY_BYTES_LIMIT)
    source = click.get_current_context().get_parameter_source("body_bytes_max")
    return [
        WantedTopic(
            topic=topic,
            body_bytes_max=body_bytes_max,
            partitions=of_topics.get(f"{name}_partitions"),
            retention_days=of_topics.get(f"{name}_retention_days"),
            configs=_configs("--config", configs)
            | _configs(f"--{name.replace('_', '-')}-config", of_topics.get(f"{name}_config", ())),
            may_lower_size=source is not ParameterSource.DEFAULT,
        )
        # The topic of the actions has no options of its own.
        for name, topic in (
            ("callbacks", CALLBACKS),
            ("dead_letters", DEAD_LETTERS),
            ("actions", ACTIONS),
        )
    ]


def _of_others(table: AclTable, body_bytes_max: int) -> Iterator[WantedTopic]:
    """Yield the subscribers' own dead-letter topics, with room for the headers of dead letters."""
    for name in table.dead_letter_topics():
        yield WantedTopic(
            topic=Topic(name=name, partitions=1, retention_days=DEAD_LETTERS.retention_days),
            body_bytes_max=body_bytes_max + RECORD_OVERHEAD_BYTES,
            is_of_others=True,
        )


def _configs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    if unclear := [config for config in given if "=" not in config]:
        raise click.BadParameter(f"{unclear[0]} is not NAME=VALUE", param_hint=option)
    return dict(config.split("=", 1) for config in given)
