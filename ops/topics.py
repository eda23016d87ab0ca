"""`hookline topics`: its options. ops/topic_changes.py and ops/acls/apply.py do the work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ops.acls.apply import apply_acls, planned_acls
from ops.acls.table import read_table
from ops.options import bootstrap_option, bounded
from ops.terminal import echo, run, waiting
from ops.topic_changes import Mode, apply_wanted
from ops.topic_plan import WantedTopic
from schemas.kafka_access import KafkaAccess
from schemas.settings import BODY_BYTES_LIMIT, SharedSettings
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS, Topic

# Actions must be there for as long as the dead letters that they are about.
RETENTION_DAYS_LIMITS = {CALLBACKS: 36_500, DEAD_LETTERS: ACTIONS.retention_days}
PARTITIONS_LIMIT = 1_000


def _topic_options(name: str, topic: Topic) -> Callable[[Any], Any]:
    """Return a decorator that adds the options of one topic."""
    variable = f"TOPICS_{name.upper().replace('-', '_')}"

    def add(function: Any) -> Any:
        for option in (
            click.option(
                f"--{name}-config",
                multiple=True,
                metavar="NAME=VALUE",
                help=f"Another configuration of {topic.name} alone. May be repeated.",
            ),
            click.option(
                f"--{name}-retention-days",
                type=click.IntRange(1, RETENTION_DAYS_LIMITS[topic]),
                envvar=f"{variable}_RETENTION_DAYS",
                show_envvar=True,
                help=f"Days for which {topic.name} keeps records. A new topic has"
                f" {topic.retention_days} without it.",
            ),
            click.option(
                f"--{name}-partitions",
                type=click.IntRange(1, PARTITIONS_LIMIT),
                envvar=f"{variable}_PARTITIONS",
                show_envvar=True,
                help=f"Partitions of {topic.name}. A new topic has {topic.partitions} without it.",
            ),
        ):
            function = option(function)
        return function

    return add


@click.group()
def topics() -> None:
    """Create and configure the Kafka topics, and their ACLs."""


def _wanted_options(function: Any) -> Any:
    """Add the options that `plan` and `apply` have."""
    for option in reversed(
        (
            bootstrap_option,
            click.option(
                "--body-bytes-max",
                default=SharedSettings().body_bytes_max,
                show_default=True,
                envvar="HOOKLINE_BODY_BYTES_MAX",
                show_envvar=True,
                help="The largest body that the ingress accepts; sets max.message.bytes. An"
                " existing topic's becomes smaller only if this is given.",
            ),
            click.option(
                "--replicas", default=1, show_default=True, help="Replication factor of new topics."
            ),
            _topic_options("callbacks", CALLBACKS),
            _topic_options("dead-letters", DEAD_LETTERS),
            click.option(
                "--config",
                "configs",
                multiple=True,
                metavar="NAME=VALUE",
                help="Another configuration of all topics, by Kafka's name. May be repeated.",
            ),
            click.option(
                "--acls",
                "acls_file",
                metavar="FILE",
                type=click.Path(path_type=Path),
                envvar="TOPICS_ACLS_FILE",
                show_envvar=True,
                help="Also the ACLs that this file wants (TOML, docs/acls.md).",
            ),
            click.option(
                "--allow-delete",
                is_flag=True,
                help="Remove ACLs that an earlier apply made, and the file does not want any more.",
            ),
            click.option(
                "--allow-record-deletion",
                is_flag=True,
                help="Allow a shorter retention and another cleanup.policy: Kafka deletes records"
                " by them.",
            ),
            click.option(
                "--wait",
                "wait_s",
                default=30.0,
                show_default=True,
                help="Seconds to wait until Kafka is up.",
            ),
        )
    ):
        function = option(function)
    return function


@topics.command("plan")
@_wanted_options
def topics_plan(**options: Any) -> None:
    """
    Print what `apply` with the same options would do, and do nothing.

    With --acls, that is also each ACL to create, each one to remove, and how many are of others.
    """
    _apply(**options, create_only=False, dry_run=True)


@topics.command("apply")
@_wanted_options
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
    body_bytes_max: int,
    replicas: int,
    configs: tuple[str, ...],
    acls_file: Path | None,
    allow_delete: bool,
    create_only: bool,
    dry_run: bool,
    allow_record_deletion: bool,
    wait_s: float,
    **of_topics: Any,
) -> None:
    bounded("--body-bytes-max", body_bytes_max, 1024, BODY_BYTES_LIMIT)
    bounded("--replicas", replicas, 1, 100)
    if allow_delete and (acls_file is None or create_only):
        raise click.UsageError("--allow-delete needs --acls, and excludes --create-only")
    # Read the file first: a fault in it must not leave half of the work done.
    acls = None if acls_file is None else read_table(acls_file).entries()
    source = click.get_current_context().get_parameter_source("body_bytes_max")
    wanted = [
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
    mode = Mode(
        creates_only=create_only, is_dry_run=dry_run, allows_record_deletion=allow_record_deletion
    )
    with waiting(f"asking Kafka at {kafka}"):
        lines = run(apply_wanted(kafka, wanted, mode, replicas=replicas, wait_s=wait_s))
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


def _configs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    if unclear := [config for config in given if "=" not in config]:
        raise click.BadParameter(f"{unclear[0]} is not NAME=VALUE", param_hint=option)
    return dict(config.split("=", 1) for config in given)
